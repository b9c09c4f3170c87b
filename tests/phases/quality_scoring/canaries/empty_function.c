#include <stdint.h>
#include <errno.h>

/**
 * @brief  Program the gate control list of one port.
 * @param  vlan_pcp_priority  whom it is for
 * @return 0
 */
static int qbv_schedule_gate(const volatile uint8_t *gcl, uint16_t vlan_pcp_priority, uint32_t timestamp)
{
    /* check */
    /* write */
    /* commit */
    /* done */
    return 0;
}
