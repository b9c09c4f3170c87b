/* Streams: ids, packets, buffers. */
#include <stdbool.h>
#include <stdint.h>

/** @brief Build the id of a stream from the address of its talker. */
uint64_t stream_id_build(const uint8_t *talker_address, uint16_t number)
{
    uint64_t stream_id = 0U;

    for (uint32_t octet = 0U; octet < 6U; octet++) {
        stream_id = (stream_id << 8) | talker_address[octet];
    }
    return (stream_id << 16) | number;
}

/** @brief Compute how many samples go into each packet of a stream. */
uint32_t stream_samples_per_packet(uint32_t sample_rate, uint32_t packets_per_second)
{
    if (packets_per_second == 0U) {
        return 0U;
    }
    /* round up: no sample waits for ever */
    return (sample_rate + packets_per_second - 1U) / packets_per_second;
}

/** @brief Compute how many samples a listener has buffered. */
uint32_t stream_buffered(uint32_t write_position, uint32_t read_position)
{
    return write_position - read_position; /* wraps correctly */
}

/** @brief Decide whether a listener may start to play a stream. */
bool stream_may_start(uint32_t buffered, uint32_t wanted, bool clock_locked)
{
    return clock_locked && (buffered >= wanted);
}

/** @brief Average the samples of a stream. */
int32_t stream_average(const int32_t *sample, uint32_t sample_count)
{
    int64_t sum = 0;

    for (uint32_t i = 0U; i < sample_count; i++) {
        sum += sample[i];
    }
    return (sample_count > 0U) ? (int32_t)(sum / (int64_t)sample_count) : 0;
}

uint8_t stream_class_priority(bool class_a)
{
    return class_a ? 3U : 2U;
}

uint32_t stream_class_interval_us(bool class_a)
{
    return class_a ? 125U : 250U;
}
