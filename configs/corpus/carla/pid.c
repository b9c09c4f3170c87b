/* PID controllers with gains in thousandths. */
#include <stdint.h>

struct pid {
    int32_t gain_p;
    int32_t gain_i;
    int32_t gain_d;
    int32_t integral;
    int32_t integral_limit;
    int32_t last_error;
};

/** @brief Forget what a controller has summed up. */
void pid_reset(struct pid *controller)
{
    controller->integral = 0;
    controller->last_error = 0;
}

/**
 * @brief Compute one step of a controller.
 * @param controller gains and state
 * @param error setpoint minus measured value
 * @param period_ms time since the last step
 * @return the actuating value
 */
int32_t pid_step(struct pid *controller, int32_t error, int32_t period_ms)
{
    int64_t value;
    int32_t derivative = 0;

    controller->integral += (error * period_ms) / 1000;

    /* anti-windup */
    if (controller->integral > controller->integral_limit) {
        controller->integral = controller->integral_limit;
    } else if (controller->integral < -controller->integral_limit) {
        controller->integral = -controller->integral_limit;
    }
    if (period_ms > 0) {
        derivative = ((error - controller->last_error) * 1000) / period_ms;
    }
    controller->last_error = error;

    value = (int64_t)controller->gain_p * error;
    value += (int64_t)controller->gain_i * controller->integral;
    value += (int64_t)controller->gain_d * derivative;
    return (int32_t)(value / 1000);
}

/** @brief Smooth a measured value with a first order filter. */
int32_t pid_filter(int32_t filtered, int32_t measured, int32_t weight_percent)
{
    return filtered + (((measured - filtered) * weight_percent) / 100);
}
