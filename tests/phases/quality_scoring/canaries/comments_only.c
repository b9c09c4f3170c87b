/**
 * @brief  Program the gate control list (gcl) of IEEE 802.1Qbv.
 * @param  vlan      the VLAN
 * @param  priority  its priority (pcp)
 * @return 0
 */
/* First the schedule is checked. */
/* Then the gate states are written. */
/* Then the timestamp of the cycle. */
/* Then the shaper (qav) is told. */
