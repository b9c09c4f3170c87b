/**
 * @file avb.h
 * @brief Types that the AVB sources share.
 */
#ifndef AVB_H
#define AVB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AVB_STREAMS_MAX 32U

/** A stream as a talker declares it through SRP. */
struct avb_stream {
    uint64_t stream_id;
    uint16_t vlan_id;
    uint8_t priority;
    uint8_t rank;               /* 0: emergency */
    uint16_t max_frame_bytes;
    uint16_t frames_per_interval;
};

/** The streams that have a reservation on a port. */
struct srp_table {
    uint32_t count;
    struct avb_stream stream[AVB_STREAMS_MAX];
};

#endif /* AVB_H */
