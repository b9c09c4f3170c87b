/* Bandwidth of streams and what is left of a port for reservations. */
#include <stdbool.h>
#include <stdint.h>

/** @brief Compute the bandwidth of an audio stream in bits per second. */
uint32_t bandwidth_of_audio(uint32_t sample_rate, uint8_t channel_count, uint8_t sample_bits)
{
    return sample_rate * channel_count * sample_bits;
}

/** @brief Compute the bandwidth of a stream on the wire. */
uint64_t bandwidth_on_wire(uint32_t frame_bytes, uint32_t frames_per_second)
{
    /* header, tag, checksum, preamble and gap: 42 bytes around each payload */
    const uint64_t frame_bits = ((uint64_t)frame_bytes + 42U) * 8U;

    return frame_bits * frames_per_second;
}

/** @brief Add up the bandwidth of all streams of a port. */
uint64_t bandwidth_total(const uint32_t *stream_bandwidth, uint32_t stream_count)
{
    uint64_t total = 0U;

    for (uint32_t stream = 0U; stream < stream_count; stream++) {
        total += stream_bandwidth[stream];
    }
    return total;
}

/** @brief Check that a stream fits beside the reservations of a port. */
bool bandwidth_fits(uint32_t reserved, uint32_t stream_bandwidth, uint32_t limit)
{
    if (stream_bandwidth > limit) {
        return false;
    }
    return reserved <= (limit - stream_bandwidth);
}

/** @brief Compute what the streams of a port may still reserve. */
uint32_t bandwidth_left(uint32_t port_bandwidth, uint32_t reserved)
{
    /* a quarter of the port stays for everybody else */
    const uint32_t limit = port_bandwidth - (port_bandwidth / 4U);

    return (reserved < limit) ? (limit - reserved) : 0U;
}

/** @brief Release the bandwidth of a stream. */
uint32_t bandwidth_release(uint32_t *reservation, uint32_t stream, uint32_t reserved)
{
    const uint32_t bandwidth = reservation[stream];

    reservation[stream] = 0U;
    return (bandwidth < reserved) ? (reserved - bandwidth) : 0U;
}
