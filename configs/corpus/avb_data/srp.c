/**
 * @file srp.c
 * @brief Stream reservation: talkers, listeners and what a bridge answers them (IEEE 802.1Qat).
 */
#include "avb.h"

/** @brief Find a stream in the table of reservations. */
const struct avb_stream *srp_find(const struct srp_table *table, uint64_t stream_id)
{
    for (uint32_t i = 0U; i < table->count; i++) {
        if (table->stream[i].stream_id == stream_id) {
            return &table->stream[i];
        }
    }
    return NULL;
}

/**
 * @brief Enter the declaration of a talker into the table of reservations.
 *
 * A talker that declares a stream again replaces what it declared before.
 *
 * @return false if the table is full
 */
bool srp_declare(struct srp_table *table, const struct avb_stream *talker)
{
    for (uint32_t i = 0U; i < table->count; i++) {
        if (table->stream[i].stream_id == talker->stream_id) {
            table->stream[i] = *talker;
            return true;
        }
    }
    if (table->count >= AVB_STREAMS_MAX) {
        return false;
    }
    table->stream[table->count] = *talker;
    table->count++;
    return true;
}

/** @brief Withdraw the declaration of a talker. */
bool srp_withdraw(struct srp_table *table, uint64_t stream_id)
{
    bool found = false;

    for (uint32_t i = 0U; i < table->count; i++) {
        if (found) {
            table->stream[i - 1U] = table->stream[i];
        } else if (table->stream[i].stream_id == stream_id) {
            found = true;
        }
    }
    if (found) {
        table->count--;
    }
    return found;
}

/** @brief Merge the states of two listeners of a stream. */
uint8_t srp_merge_listeners(uint8_t listener_first, uint8_t listener_second)
{
    /* 1: asking failed; 2: ready; 3: ready failed, which is both */
    return (uint8_t)((listener_first | listener_second) & 3U);
}

/** @brief Count the listeners that are ready for a stream. */
uint32_t srp_count_ready(const uint8_t *listener_state, uint32_t listener_count)
{
    uint32_t ready = 0U;

    for (uint32_t listener = 0U; listener < listener_count; listener++) {
        if ((listener_state[listener] & 2U) != 0U) {
            ready++;
        }
    }
    return ready;
}

/** @brief Choose which of two streams keeps its reservation. */
bool srp_outranks(uint8_t first_rank, uint32_t first_age, uint8_t second_rank, uint32_t second_age)
{
    if (first_rank != second_rank) {
        return first_rank < second_rank; /* 0: emergency */
    }
    return first_age >= second_age;
}

/** @brief Choose the failure code that a bridge gives a talker. */
uint8_t srp_failure_code(uint32_t talker_bandwidth, uint32_t port_bandwidth, bool table_full)
{
    /* 1: too little bandwidth; 2: too little room in the bridge */
    if (talker_bandwidth > port_bandwidth) {
        return 1U;
    }
    return table_full ? 2U : 0U;
}

/** @brief Check whether the registration of a listener has expired. */
bool srp_expired(uint32_t now_ms, uint32_t last_message_ms, uint32_t leave_ms)
{
    return (now_ms - last_message_ms) > leave_ms;
}
