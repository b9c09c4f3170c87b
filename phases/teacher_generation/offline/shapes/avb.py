"""What the offline teacher can write for AVB: streams, samples, channels, reservations."""

from __future__ import annotations

from phases.teacher_generation.offline.shapes.shape import Shape

AVB: tuple[Shape, ...] = (
    Shape(
        "stream_match",
        "check that a listener asks for the stream that a talker offers",
        """
/** @brief Check that a listener asks for the stream of a talker. */
bool $name(const uint8_t *talker_stream, const uint8_t *listener_stream)
{
    bool same = true;

    /* a stream id has eight bytes */
    for (uint32_t octet = 0U; octet < 8U; octet++) {
        if (talker_stream[octet] != listener_stream[octet]) {
            same = false;
        }
    }
    return same;
}
""",
    ),
    Shape(
        "stream_id_build",
        "build the stream id of a talker from its address and a number",
        """
/** @brief Build the stream id of a talker. */
uint64_t $name(const uint8_t *talker_address, uint16_t srp_number)
{
    uint64_t stream_id = 0U;

    /* six bytes of address, then the number */
    for (uint32_t octet = 0U; octet < 6U; octet++) {
        stream_id = (stream_id << 8) | talker_address[octet];
    }
    return (stream_id << 16) | srp_number;
}
""",
    ),
    Shape(
        "bandwidth_sum",
        "add up the bandwidth of all stream reservations of a port",
        """
/** @brief Add up the bandwidth of all stream reservations. */
uint64_t $name(const uint32_t *stream_bandwidth, uint32_t reservation_count)
{
    uint64_t bandwidth = 0U;

    /* 64 bits: the sum of all streams does not overflow */
    for (uint32_t stream = 0U; stream < reservation_count; stream++) {
        bandwidth += stream_bandwidth[stream];
    }
    return bandwidth;
}
""",
    ),
    Shape(
        "bandwidth_admit",
        "check that a stream still fits into the reservation limit of {n} kbit/s",
        """
/** @brief Check that a stream still fits into the reservation limit. */
bool $name(uint32_t reservation_used, uint32_t stream_bandwidth)
{
    static const uint32_t bandwidth_limit = ${n}U;

    /* compare without overflow */
    if (stream_bandwidth > bandwidth_limit) {
        return false;
    }
    return reservation_used <= (bandwidth_limit - stream_bandwidth);
}
""",
        numbers=(1000, 75000, 250),
    ),
    Shape(
        "bandwidth_of_stream",
        "compute the bandwidth of a stream from its channels and a sample rate of {n} Hz",
        """
/** @brief Compute the bandwidth of a stream in bits per second. */
uint32_t $name(uint8_t channel_count, uint8_t sample_bits)
{
    static const uint32_t sample_rate = ${n}U;
    uint64_t bandwidth = sample_rate;

    /* samples a second, times channels, times bits */
    bandwidth *= channel_count;
    bandwidth *= sample_bits;
    return (uint32_t)bandwidth;
}
""",
        numbers=(8000, 96000, 50),
    ),
    Shape(
        "bandwidth_share",
        "compute what part of the bandwidth of a port the streams may reserve at {n} percent",
        """
/** @brief Compute what the streams of a port may reserve. */
uint32_t $name(uint32_t port_bandwidth, uint32_t reservation_used)
{
    static const uint32_t stream_percent = ${n}U;
    const uint64_t reservation_max = ((uint64_t)port_bandwidth * stream_percent) / 100U;

    /* nothing is left once the share is used */
    if (reservation_used >= reservation_max) {
        return 0U;
    }
    return (uint32_t)(reservation_max - reservation_used);
}
""",
        numbers=(5, 75, 1),
    ),
    Shape(
        "sample_clip",
        "limit a sample of a channel to plus or minus {n}",
        """
/** @brief Limit a sample of a channel. */
int32_t $name(int32_t channel_sample, bool stream_muted)
{
    static const int32_t sample_max = ${n};
    int32_t sample = channel_sample;

    /* first the upper, then the lower limit */
    if (sample > sample_max) {
        sample = sample_max;
    } else if (sample < -sample_max) {
        sample = -sample_max;
    }
    return stream_muted ? 0 : sample;
}
""",
        numbers=(1000, 32000, 100),
    ),
    Shape(
        "sample_mix",
        "mix the samples of two channels of a stream without overflow",
        """
/** @brief Mix the samples of two channels of a stream. */
void $name(const int16_t *channel_left, const int16_t *channel_right, int16_t *stream, uint32_t count)
{
    /* the mean of two samples cannot overflow */
    for (uint32_t sample = 0U; sample < count; sample++) {
        const int32_t sum = (int32_t)channel_left[sample] + channel_right[sample];
        stream[sample] = (int16_t)(sum / 2);
    }
}
""",
    ),
    Shape(
        "channel_extract",
        "copy one channel out of the interleaved samples of a stream",
        """
/** @brief Copy one channel out of an interleaved stream. */
void $name(const int32_t *stream, int32_t *sample_out, uint32_t count, uint8_t channel, uint8_t channel_count)
{
    uint32_t position = channel;

    /* every channel_count-th sample is ours */
    for (uint32_t sample = 0U; sample < count; sample++) {
        sample_out[sample] = stream[position];
        position += channel_count;
    }
}
""",
    ),
    Shape(
        "channel_map",
        "map a channel of a listener to the channel of a stream with an offset of {n}",
        """
/** @brief Map a channel of a listener to a channel of a stream. */
uint8_t $name(uint8_t listener_channel, uint8_t stream_channel_count)
{
    static const uint32_t channel_offset = ${n}U;

    /* a stream without channels maps to nothing */
    if (stream_channel_count == 0U) {
        return 0xFFU;
    }
    return (uint8_t)((listener_channel + channel_offset) % stream_channel_count);
}
""",
        numbers=(1, 31, 1),
    ),
    Shape(
        "channel_peak",
        "find the peak of {n} samples of a channel",
        """
/** @brief Find the peak of the samples of a channel. */
uint32_t $name(const int16_t *channel_sample, uint32_t stream_length)
{
    static const uint32_t sample_count = ${n}U;
    uint32_t peak = 0U;

    /* the sign does not matter */
    for (uint32_t sample = 0U; (sample < sample_count) && (sample < stream_length); sample++) {
        const int32_t value = channel_sample[sample];
        const uint32_t level = (uint32_t)((value < 0) ? -value : value);
        if (level > peak) {
            peak = level;
        }
    }
    return peak;
}
""",
        numbers=(6, 512, 2),
    ),
    Shape(
        "channel_gain",
        "scale the samples of a channel to {n} percent",
        """
/** @brief Scale the samples of a channel. */
void $name(int16_t *channel_sample, uint32_t stream_length)
{
    static const int32_t channel_percent = ${n};

    /* 32 bits for the product of sample and gain */
    for (uint32_t sample = 0U; sample < stream_length; sample++) {
        const int32_t scaled = ((int32_t)channel_sample[sample] * channel_percent) / 100;
        channel_sample[sample] = (int16_t)scaled;
    }
}
""",
        numbers=(5, 99, 1),
    ),
    Shape(
        "channel_mute",
        "silence one channel in the interleaved samples of a stream",
        """
/** @brief Silence one channel of an interleaved stream. */
void $name(int32_t *stream_sample, uint32_t sample_count, uint8_t channel, uint8_t channel_count)
{
    /* a step of zero would never end */
    if (channel_count == 0U) {
        return;
    }
    for (uint32_t sample = channel; sample < sample_count; sample += channel_count) {
        stream_sample[sample] = 0;
    }
}
""",
    ),
    Shape(
        "sample_pack",
        "pack a 24-bit sample of a channel into the payload of a stream",
        """
/** @brief Pack a 24-bit sample into the payload of a stream. */
uint32_t $name(uint8_t *stream_payload, uint8_t channel, int32_t sample)
{
    const uint32_t offset = 3U * channel;
    const uint32_t bits = (uint32_t)sample;

    /* network order: the high byte comes first */
    stream_payload[offset] = (uint8_t)(bits >> 16);
    stream_payload[offset + 1U] = (uint8_t)(bits >> 8);
    stream_payload[offset + 2U] = (uint8_t)bits;
    return offset + 3U;
}
""",
    ),
    Shape(
        "sample_unpack",
        "unpack a 16-bit sample of a channel from the payload of a stream",
        """
/** @brief Unpack a 16-bit sample from the payload of a stream. */
int16_t $name(const uint8_t *stream_payload, uint8_t channel)
{
    const uint32_t offset = 2U * channel;
    uint32_t sample;

    /* network order: the high byte comes first */
    sample = (uint32_t)stream_payload[offset] << 8;
    sample |= stream_payload[offset + 1U];
    return (int16_t)sample;
}
""",
    ),
    Shape(
        "sequence_gap",
        "count the packets that a listener lost from the sequence numbers of a stream",
        """
/** @brief Count the packets that a listener lost. */
uint8_t $name(uint8_t stream_sequence, uint8_t listener_sequence, uint32_t *sample_lost)
{
    /* eight bits: the difference wraps as the number does */
    const uint8_t lost = (uint8_t)(stream_sequence - listener_sequence - 1U);

    *sample_lost += lost;
    return lost;
}
""",
    ),
    Shape(
        "presentation_time",
        "compute when a listener presents a sample of a stream after {n} {unit} of transit",
        """
/** @brief Compute when a listener presents a sample of a stream. */
uint32_t $name(uint32_t talker_time, uint32_t sample, uint32_t sample_period)
{
    static const uint32_t stream_transit_$unit = ${n}U;
    const uint32_t listener_offset = sample * sample_period;

    /* 32 bits of time wrap around every four seconds */
    return talker_time + listener_offset + stream_transit_$unit;
}
""",
        numbers=(100, 5000, 50),
    ),
    Shape(
        "listener_merge",
        "merge the srp states of two listeners of a stream",
        """
/** @brief Merge the srp states of two listeners of a stream. */
uint8_t $name(uint8_t listener_first, uint8_t listener_second)
{
    static const uint32_t srp_mask = 3U;

    /* 1: asking failed; 2: ready; both: ready failed */
    const uint32_t stream_state = (uint32_t)listener_first | listener_second;

    return (uint8_t)(stream_state & srp_mask);
}
""",
    ),
    Shape(
        "listener_count",
        "count the listeners that are ready for the stream of a talker",
        """
/** @brief Count the listeners that are ready for a stream. */
uint32_t $name(const uint8_t *listener_state, uint32_t listener_count, uint8_t srp_ready)
{
    uint32_t stream_count = 0U;

    /* every ready listener keeps the talker sending */
    for (uint32_t listener = 0U; listener < listener_count; listener++) {
        if (listener_state[listener] == srp_ready) {
            stream_count++;
        }
    }
    return stream_count;
}
""",
    ),
    Shape(
        "talker_fail_code",
        "choose the srp failure code for a talker that lacks bandwidth or room",
        """
/** @brief Choose the srp failure code for a talker. */
uint8_t $name(uint32_t talker_bandwidth, uint32_t port_bandwidth, bool stream_room)
{
    uint8_t srp_code = 0U; /* no failure */

    /* 1: too little bandwidth; 2: no room in the bridge */
    if (talker_bandwidth > port_bandwidth) {
        srp_code = 1U;
    } else if (!stream_room) {
        srp_code = 2U;
    }
    return srp_code;
}
""",
    ),
    Shape(
        "reservation_release",
        "release the reservation of a stream and give its bandwidth back",
        """
/** @brief Release the reservation of a stream. */
uint32_t $name(uint32_t *reservation, uint32_t stream, uint32_t bandwidth_used)
{
    const uint32_t bandwidth = reservation[stream];

    /* the stream keeps nothing */
    reservation[stream] = 0U;

    /* never below zero */
    return (bandwidth < bandwidth_used) ? (bandwidth_used - bandwidth) : 0U;
}
""",
    ),
    Shape(
        "reservation_age",
        "check whether the srp reservation of a listener is older than {n} {unit}",
        """
/** @brief Check whether the reservation of a listener is too old. */
bool $name(uint32_t srp_now, uint32_t listener_time)
{
    static const uint32_t reservation_age_$unit = ${n}U;
    const uint32_t age = srp_now - listener_time; /* wraps correctly */

    /* no srp message for too long */
    return age > reservation_age_$unit;
}
""",
        numbers=(200, 15000, 100),
    ),
    Shape(
        "samples_per_packet",
        "compute how many samples a talker sends in each packet at {n} packets a second",
        """
/** @brief Compute how many samples a talker sends in a packet. */
uint32_t $name(uint32_t sample_rate, uint8_t channel_count)
{
    static const uint32_t talker_packets = ${n}U;

    /* round up: no sample waits for ever */
    const uint32_t stream_samples = (sample_rate + talker_packets - 1U) / talker_packets;

    return stream_samples * channel_count;
}
""",
        numbers=(1000, 8000, 25),
    ),
    Shape(
        "stream_rank",
        "choose which of two streams keeps its reservation by rank and age",
        """
/** @brief Choose which of two streams keeps its reservation. */
bool $name(uint8_t stream_rank, uint32_t reservation_age, uint8_t srp_rank, uint32_t srp_age)
{
    /* rank 0 is an emergency stream */
    if (stream_rank != srp_rank) {
        return stream_rank < srp_rank;
    }
    /* of equal rank, the older reservation stays */
    return reservation_age >= srp_age;
}
""",
    ),
    Shape(
        "buffer_level",
        "check that a listener has buffered {n} samples of a stream",
        """
/** @brief Check that a listener has buffered enough samples. */
bool $name(uint32_t stream_write, uint32_t stream_read, uint8_t listener_channel)
{
    static const uint32_t sample_level = ${n}U;
    const uint32_t sample_count = stream_write - stream_read; /* wraps correctly */

    /* channel 255 is not connected */
    return (listener_channel != 0xFFU) && (sample_count >= sample_level);
}
""",
        numbers=(6, 960, 6),
    ),
    Shape(
        "channel_average",
        "average the samples of one channel of a stream",
        """
/** @brief Average the samples of one channel of a stream. */
int32_t $name(const int32_t *stream, uint32_t sample_count, uint8_t channel, uint8_t channel_count)
{
    int64_t sum = 0;
    int32_t found = 0;

    /* a channel that is not in the stream has no average */
    const uint32_t end = (channel < channel_count) ? sample_count : 0U;
    for (uint32_t sample = channel; sample < end; sample += channel_count) {
        sum += stream[sample];
        found++;
    }
    return (found > 0) ? (int32_t)(sum / found) : 0;
}
""",
    ),
)
