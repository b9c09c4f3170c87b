/* AVTP: packing and unpacking of samples (IEEE 1722). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @brief Pack a 16-bit sample into a payload in network order. */
void avtp_pack_16(uint8_t *payload, int16_t sample)
{
    const uint32_t bits = (uint16_t)sample;

    payload[0] = (uint8_t)(bits >> 8);
    payload[1] = (uint8_t)bits;
}

/** @brief Pack a 24-bit sample into a payload in network order. */
void avtp_pack_24(uint8_t *payload, int32_t sample)
{
    const uint32_t bits = (uint32_t)sample;

    payload[0] = (uint8_t)(bits >> 16);
    payload[1] = (uint8_t)(bits >> 8);
    payload[2] = (uint8_t)bits;
}

/** @brief Unpack a 16-bit sample from a payload. */
int16_t avtp_unpack_16(const uint8_t *payload)
{
    const uint32_t bits = ((uint32_t)payload[0] << 8) | payload[1];

    return (int16_t)bits;
}

/** @brief Unpack a 24-bit sample from a payload and extend its sign. */
int32_t avtp_unpack_24(const uint8_t *payload)
{
    uint32_t bits = ((uint32_t)payload[0] << 16) | ((uint32_t)payload[1] << 8) | payload[2];

    if ((bits & 0x800000U) != 0U) {
        bits |= 0xFF000000U; /* negative */
    }
    return (int32_t)bits;
}

/**
 * @brief Pack the samples of all channels of a stream into one payload.
 * @param payload room for channel_count samples of two bytes
 * @param sample one sample of each channel
 * @param channel_count channels of the stream
 * @return bytes written
 */
size_t avtp_pack_channels(uint8_t *payload, const int16_t *sample, uint8_t channel_count)
{
    size_t at = 0U;

    for (uint8_t channel = 0U; channel < channel_count; channel++) {
        avtp_pack_16(&payload[at], sample[channel]);
        at += 2U;
    }
    return at;
}

/** @brief Count the packets of a stream that got lost before this one. */
uint8_t avtp_lost_packets(uint8_t sequence_number, uint8_t expected_number)
{
    /* eight bits: the difference wraps as the number does */
    return (uint8_t)(sequence_number - expected_number);
}

/** @brief Compute when a listener presents a sample. */
uint32_t avtp_presentation_time(uint32_t talker_time_ns, uint32_t transit_ns)
{
    /* the low 32 bits of gPTP time: wraps about every four seconds */
    return talker_time_ns + transit_ns;
}

/** @brief Check that a presentation time is still ahead of a listener. */
bool avtp_in_time(uint32_t presentation_time, uint32_t listener_time)
{
    /* half of the range counts as ahead */
    return (presentation_time - listener_time) < 0x80000000U;
}

/** @brief Read the stream id of an AVTP header. */
uint64_t avtp_stream_id(const uint8_t *header)
{
    uint64_t stream_id = 0U;

    for (uint32_t octet = 4U; octet < 12U; octet++) {
        stream_id = (stream_id << 8) | header[octet];
    }
    return stream_id;
}
