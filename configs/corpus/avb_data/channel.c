/* Channels: maps, gains, levels. Samples of a stream are interleaved by channel. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @brief Copy one channel out of the interleaved samples of a stream. */
void channel_extract(const int32_t *stream, int32_t *out, uint32_t count, uint8_t channel, uint8_t channel_count)
{
    uint32_t at = channel;

    for (uint32_t sample = 0U; sample < count; sample++) {
        out[sample] = stream[at];
        at += channel_count;
    }
}

/** @brief Put the samples of one channel into a stream. */
void channel_insert(int32_t *stream, const int32_t *in, uint32_t count, uint8_t channel, uint8_t channel_count)
{
    uint32_t at = channel;

    for (uint32_t sample = 0U; sample < count; sample++) {
        stream[at] = in[sample];
        at += channel_count;
    }
}

/** @brief Map a channel of a listener to a channel of a stream. */
uint8_t channel_map(const uint8_t *map, uint8_t listener_channel, uint8_t map_length)
{
    /* 255: not connected */
    return (listener_channel < map_length) ? map[listener_channel] : 0xFFU;
}

/** @brief Check that no two listener channels are mapped to one stream channel. */
bool channel_map_is_unique(const uint8_t *map, uint8_t map_length)
{
    for (uint8_t first = 0U; first < map_length; first++) {
        for (uint8_t second = (uint8_t)(first + 1U); second < map_length; second++) {
            if (map[first] == map[second]) {
                return false;
            }
        }
    }
    return true;
}

/** @brief Scale the samples of a channel by a gain in percent. */
void channel_gain(int16_t *sample, uint32_t count, uint8_t percent)
{
    for (uint32_t i = 0U; i < count; i++) {
        const int32_t scaled = ((int32_t)sample[i] * percent) / 100;
        sample[i] = (int16_t)scaled;
    }
}

/** @brief Silence one channel of a stream. */
void channel_mute(int32_t *stream, uint32_t length, uint8_t channel, uint8_t channel_count)
{
    if (channel_count == 0U) {
        return;
    }
    for (uint32_t sample = channel; sample < length; sample += channel_count) {
        stream[sample] = 0;
    }
}

/** @brief Find the peak of the samples of a channel. */
uint32_t channel_peak(const int16_t *sample, uint32_t count)
{
    uint32_t peak = 0U;

    for (uint32_t i = 0U; i < count; i++) {
        const int32_t value = sample[i];
        const uint32_t level = (uint32_t)((value < 0) ? -value : value);
        if (level > peak) {
            peak = level;
        }
    }
    return peak;
}

/** @brief Limit a sample to what a channel can carry. */
int32_t channel_limit(int32_t sample, int32_t limit)
{
    if (sample > limit) {
        return limit;
    }
    return (sample < -limit) ? -limit : sample;
}

/** @brief Mix the samples of two channels without overflow. */
void channel_mix(const int16_t *left, const int16_t *right, int16_t *out, uint32_t count)
{
    for (uint32_t sample = 0U; sample < count; sample++) {
        const int32_t sum = (int32_t)left[sample] + right[sample];
        out[sample] = (int16_t)(sum / 2);
    }
}
