/**
 * @file tsn.h
 * @brief Types that the TSN sources share.
 *
 * Times are nanoseconds of the gPTP time base unless a name says otherwise.
 */
#ifndef TSN_H
#define TSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TSN_PRIORITIES 8U
#define TSN_GCL_MAX    64U

/** One entry of a gate control list (IEEE 802.1Qbv). */
struct gcl_entry {
    uint8_t gate_mask;     /* bit n: gate of priority n is open */
    uint32_t interval_ns;  /* how long this entry holds */
};

/** A gate control list and the cycle that it fills. */
struct gcl {
    uint32_t length;
    uint32_t cycle_ns;
    uint64_t base_time_ns;
    struct gcl_entry entry[TSN_GCL_MAX];
};

/** A credit based shaper (IEEE 802.1Qav); slopes in bits per second, credit in bits. */
struct shaper {
    int64_t credit;
    int64_t hi_credit;
    int64_t lo_credit;
    uint32_t idle_slope;
    uint32_t port_rate;
};

/** A time as gPTP messages carry it. */
struct ptp_time {
    uint64_t seconds;
    uint32_t nanoseconds;
};

#endif /* TSN_H */
