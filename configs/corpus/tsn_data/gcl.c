/**
 * @file gcl.c
 * @brief Gate control lists: lookup, validation and change of schedule (IEEE 802.1Qbv).
 */
#include "tsn.h"

/** @brief Add up the intervals of a gate control list. */
uint64_t gcl_total_interval(const struct gcl *list)
{
    uint64_t total = 0U;

    for (uint32_t i = 0U; i < list->length; i++) {
        total += list->entry[i].interval_ns;
    }
    return total;
}

/**
 * @brief Check that a gate control list can be installed.
 *
 * The list must not be empty, no interval may be shorter than the hardware tick,
 * and the intervals must not be longer than the cycle.
 *
 * @param list the list to check
 * @param tick_ns shortest interval the hardware keeps
 * @return true if the list can be installed
 */
bool gcl_is_valid(const struct gcl *list, uint32_t tick_ns)
{
    if ((list->length == 0U) || (list->length > TSN_GCL_MAX)) {
        return false;
    }
    for (uint32_t i = 0U; i < list->length; i++) {
        if (list->entry[i].interval_ns < tick_ns) {
            return false;
        }
    }
    return gcl_total_interval(list) <= list->cycle_ns;
}

/** @brief Find the entry of a gate control list that is active at an offset in the cycle. */
uint32_t gcl_entry_at(const struct gcl *list, uint32_t offset_ns)
{
    uint64_t end = 0U;

    for (uint32_t i = 0U; i < list->length; i++) {
        end += list->entry[i].interval_ns;
        if (offset_ns < end) {
            return i;
        }
    }
    /* the last entry holds until the cycle ends */
    return (list->length > 0U) ? (list->length - 1U) : 0U;
}

/** @brief Read the gate mask that a schedule commands at a timestamp. */
uint8_t gcl_mask_at(const struct gcl *list, uint64_t timestamp_ns)
{
    uint32_t offset_ns;

    /* before its base time a schedule keeps all gates open */
    if ((timestamp_ns < list->base_time_ns) || (list->length == 0U)) {
        return 0xFFU;
    }
    offset_ns = (uint32_t)((timestamp_ns - list->base_time_ns) % list->cycle_ns);
    return list->entry[gcl_entry_at(list, offset_ns)].gate_mask;
}

/** @brief Append an entry to a gate control list. */
bool gcl_append(struct gcl *list, uint8_t gate_mask, uint32_t interval_ns)
{
    if (list->length >= TSN_GCL_MAX) {
        return false;
    }
    list->entry[list->length].gate_mask = gate_mask;
    list->entry[list->length].interval_ns = interval_ns;
    list->length++;
    return true;
}

/** @brief Compute how long the gate of a priority is open in each cycle. */
uint64_t gcl_open_time(const uint8_t *gate_mask, const uint32_t *interval_ns, uint32_t length, uint8_t priority)
{
    uint64_t open_ns = 0U;

    for (uint32_t entry = 0U; entry < length; entry++) {
        if ((gate_mask[entry] & (1U << (priority & 7U))) != 0U) {
            open_ns += interval_ns[entry];
        }
    }
    return open_ns;
}

/** @brief Find the shortest gate interval of a schedule. */
uint32_t gcl_shortest_interval(const uint32_t *interval_ns, uint32_t gcl_length)
{
    uint32_t shortest = UINT32_MAX;

    for (uint32_t entry = 0U; entry < gcl_length; entry++) {
        if (interval_ns[entry] < shortest) {
            shortest = interval_ns[entry];
        }
    }
    return shortest;
}
