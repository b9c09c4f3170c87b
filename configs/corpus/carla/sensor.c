/* Readings of sensors: plausibility, smoothing, age. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @brief Take the median of three readings. */
int32_t sensor_median(int32_t first, int32_t second, int32_t third)
{
    const int32_t low = (first < second) ? first : second;
    const int32_t high = (first < second) ? second : first;

    if (third < low) {
        return low;
    }
    return (third > high) ? high : third;
}

/** @brief Check that a sensor has reported lately. */
bool sensor_is_fresh(uint32_t now_ms, uint32_t reading_ms, uint32_t timeout_ms)
{
    return (now_ms - reading_ms) <= timeout_ms;
}

/** @brief Check that a reading is possible after the one before. */
bool sensor_is_plausible(int32_t reading, int32_t previous, int32_t step_max)
{
    const int32_t step = reading - previous;

    return (step <= step_max) && (step >= -step_max);
}

/** @brief Average the readings of a ring buffer. */
int32_t sensor_average(const int32_t *reading, size_t count)
{
    int64_t sum = 0;

    if (count == 0U) {
        return 0;
    }
    for (size_t i = 0U; i < count; i++) {
        sum += reading[i];
    }
    return (int32_t)(sum / (int64_t)count);
}

/** @brief Find the nearest obstacle of a lidar scan. */
size_t sensor_nearest(const uint32_t *range_mm, size_t count)
{
    size_t nearest = 0U;

    /* 0 means no echo */
    for (size_t ray = 1U; ray < count; ray++) {
        if ((range_mm[ray] != 0U) && ((range_mm[nearest] == 0U) || (range_mm[ray] < range_mm[nearest]))) {
            nearest = ray;
        }
    }
    return nearest;
}
