/**
 * @file gptp.c
 * @brief Timestamps of gPTP (IEEE 802.1AS): differences, corrections, rate ratio.
 */
#include "tsn.h"

#define NS_PER_SECOND 1000000000U

/** @brief Convert a timestamp to nanoseconds. */
uint64_t ptp_to_ns(const struct ptp_time *timestamp)
{
    return (timestamp->seconds * NS_PER_SECOND) + timestamp->nanoseconds;
}

/** @brief Convert nanoseconds to a timestamp. */
struct ptp_time ptp_from_ns(uint64_t ns)
{
    struct ptp_time timestamp;

    timestamp.seconds = ns / NS_PER_SECOND;
    timestamp.nanoseconds = (uint32_t)(ns % NS_PER_SECOND);
    return timestamp;
}

/** @brief Compute the signed difference of two timestamps. */
int64_t ptp_difference(uint64_t first_timestamp, uint64_t second_timestamp)
{
    if (first_timestamp >= second_timestamp) {
        return (int64_t)(first_timestamp - second_timestamp);
    }
    return -(int64_t)(second_timestamp - first_timestamp);
}

/**
 * @brief Compute the delay of a link from the four timestamps of a peer delay exchange.
 *
 * t1: request leaves, t2: request arrives, t3: response leaves, t4: response arrives.
 * t1 and t4 are of our clock, t2 and t3 of the neighbour's; half of the round trip
 * without the neighbour's turnaround is the delay.
 */
uint64_t ptp_link_delay(uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4)
{
    const uint64_t round_trip = t4 - t1;
    const uint64_t turnaround = t3 - t2;

    /* clocks that run apart can make the turnaround seem longer */
    if (turnaround > round_trip) {
        return 0U;
    }
    return (round_trip - turnaround) / 2U;
}

/** @brief Correct the timestamp of a sync message by link delay and residence time. */
uint64_t ptp_correct(uint64_t origin_ns, uint32_t link_delay_ns, uint32_t residence_ns)
{
    return origin_ns + link_delay_ns + residence_ns;
}

/** @brief Compute how many parts in a billion a neighbour's clock runs faster than ours. */
int64_t ptp_rate_offset(uint64_t neighbour_interval, uint64_t own_interval)
{
    int64_t difference;

    if (own_interval == 0U) {
        return 0;
    }
    difference = (int64_t)neighbour_interval - (int64_t)own_interval;
    return (difference * 1000000000LL) / (int64_t)own_interval;
}

/** @brief Step a clock servo with a proportional and an integral part. */
int32_t ptp_servo(int32_t offset_ns, int32_t *integral)
{
    static const int32_t limit_ppb = 100000;
    int32_t adjustment;

    *integral += offset_ns / 16;
    adjustment = (offset_ns / 2) + *integral;

    /* the oscillator can be pulled only so far */
    if (adjustment > limit_ppb) {
        adjustment = limit_ppb;
    }
    if (adjustment < -limit_ppb) {
        adjustment = -limit_ppb;
    }
    return adjustment;
}

/** @brief Check that a timestamp is well-formed. */
bool ptp_is_valid(uint64_t seconds, uint32_t nanoseconds)
{
    /* 48 bits of seconds on the wire */
    return (seconds < (1ULL << 48)) && (nanoseconds < 1000000000U);
}
