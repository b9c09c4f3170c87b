/* Température et gigue du port : mesures de l'équipe réseau, en °C et en µs. */
#include <stdbool.h>
#include <stdint.h>

/** @brief Check that the jitter of a schedule stays below a limit in µs. */
bool port_jitter_ok(uint32_t gate_jitter_us, uint32_t limit_us)
{
    return gate_jitter_us < limit_us;
}

/** @brief Compensate a timestamp for the temperature of the oscillator (0,1 °C). */
uint64_t port_compensate(uint64_t timestamp_ns, int32_t temperature)
{
    /* 25,0 °C is where the oscillator was calibrated */
    const int32_t distance = (temperature > 250) ? (temperature - 250) : (250 - temperature);

    return timestamp_ns + ((uint64_t)distance * 4U);
}
