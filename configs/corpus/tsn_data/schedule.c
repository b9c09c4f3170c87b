/* Cycles of a schedule: where a timestamp lies in them, and when the next one starts. */
#include <stdbool.h>
#include <stdint.h>

/** @brief Compute the offset of a timestamp in the cycle of a schedule. */
uint32_t schedule_offset(uint64_t timestamp_ns, uint64_t base_time_ns, uint32_t cycle_ns)
{
    if ((cycle_ns == 0U) || (timestamp_ns < base_time_ns)) {
        return 0U;
    }
    return (uint32_t)((timestamp_ns - base_time_ns) % cycle_ns);
}

/** @brief Compute the start of the next cycle of a schedule. */
uint64_t schedule_next_start(uint64_t timestamp_ns, uint64_t base_time_ns, uint32_t cycle_ns)
{
    uint64_t cycles;

    /* a schedule that has not started yet starts at its base time */
    if ((timestamp_ns < base_time_ns) || (cycle_ns == 0U)) {
        return base_time_ns;
    }
    cycles = (timestamp_ns - base_time_ns) / cycle_ns;
    return base_time_ns + ((cycles + 1U) * cycle_ns);
}

/** @brief Check that a gate event happens close enough to its schedule. */
bool schedule_in_tolerance(uint64_t gate_timestamp, uint64_t schedule_timestamp, uint32_t tolerance_ns)
{
    uint64_t drift;

    if (gate_timestamp > schedule_timestamp) {
        drift = gate_timestamp - schedule_timestamp;
    } else {
        drift = schedule_timestamp - gate_timestamp;
    }
    return drift <= tolerance_ns;
}

/**
 * @brief Compute the common cycle of two schedules.
 *
 * The least common multiple of both cycle times: after it, both schedules
 * stand at their start again.
 *
 * @return the cycle in nanoseconds, 0 if one of the schedules has no cycle
 */
uint64_t schedule_hyper_cycle(uint32_t first_cycle_ns, uint32_t second_cycle_ns)
{
    uint32_t larger = first_cycle_ns;
    uint32_t smaller = second_cycle_ns;

    if ((larger == 0U) || (smaller == 0U)) {
        return 0U;
    }
    /* Euclid */
    while (smaller != 0U) {
        const uint32_t rest = larger % smaller;
        larger = smaller;
        smaller = rest;
    }
    return ((uint64_t)first_cycle_ns / larger) * second_cycle_ns;
}

/** @brief Compute the guard band that protects a schedule from a frame of a lower priority. */
uint32_t schedule_guard_band(uint32_t frame_bytes, uint32_t rate_mbit)
{
    /* preamble, start of frame and gap cost 20 bytes more */
    const uint32_t bits = (frame_bytes + 20U) * 8U;

    if (rate_mbit == 0U) {
        return 0U;
    }
    return (bits * 1000U) / rate_mbit;
}

/** @brief Check that a frame fits into what is left of a gate window. */
bool schedule_frame_fits(uint64_t timestamp_ns, uint64_t gate_close_ns, uint32_t frame_ns)
{
    if (timestamp_ns >= gate_close_ns) {
        return false;
    }
    return frame_ns <= (gate_close_ns - timestamp_ns);
}

/** @brief Keep the largest latency that a priority has seen. */
uint32_t schedule_worst_latency(uint32_t worst_ns, uint32_t timestamp_in, uint32_t timestamp_out)
{
    const uint32_t latency_ns = timestamp_out - timestamp_in; /* wraps correctly */

    return (latency_ns > worst_ns) ? latency_ns : worst_ns;
}
