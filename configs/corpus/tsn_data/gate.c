/* Gates of a port: masks, states, and what may pass. */
#include <stdbool.h>
#include <stdint.h>

/** @brief Check whether the gate of a traffic class is open. */
bool gate_is_open(uint8_t gate_mask, uint8_t traffic_class)
{
    return ((gate_mask >> (traffic_class & 7U)) & 1U) != 0U;
}

/** @brief Open one gate of a port. */
uint8_t gate_open_one(uint8_t gate_mask, uint8_t priority)
{
    const uint32_t gate = 1U << (priority & 7U);

    return (uint8_t)(gate_mask | gate);
}

/** @brief Close one gate of a port. */
uint8_t gate_close_one(uint8_t gate_mask, uint8_t priority)
{
    const uint32_t gate = 1U << (priority & 7U);

    return (uint8_t)(gate_mask & ~gate);
}

/** @brief Close all gates but that of the scheduled priority. */
uint8_t gate_exclusive(uint8_t priority)
{
    /* the protected window of a schedule: everything else waits */
    return (uint8_t)(1U << (priority & 7U));
}

/** @brief Count the open gates of a mask. */
uint32_t gate_count_open(uint8_t gate_mask)
{
    uint32_t count = 0U;

    for (uint32_t priority = 0U; priority < 8U; priority++) {
        if ((gate_mask & (1U << priority)) != 0U) {
            count++;
        }
    }
    return count;
}

/**
 * @brief Select the traffic class that may send next.
 * @param gate_mask open gates, one bit for each priority
 * @param queue_mask queues that hold frames, one bit for each priority
 * @return the highest priority with an open gate and a frame, 8 if there is none
 */
uint8_t gate_select_class(uint8_t gate_mask, uint8_t queue_mask)
{
    const uint32_t ready = (uint32_t)gate_mask & queue_mask;

    for (uint8_t priority = 8U; priority > 0U; priority--) {
        if ((ready & (1U << (priority - 1U))) != 0U) {
            return (uint8_t)(priority - 1U);
        }
    }
    return 8U;
}

/** @brief Tell which gates change between two entries of a schedule. */
uint8_t gate_changes(uint8_t gate_before, uint8_t gate_after)
{
    return (uint8_t)(gate_before ^ gate_after);
}
