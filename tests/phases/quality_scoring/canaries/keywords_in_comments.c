/* pcp vlan timestamp gate priority qbv qav shaper gcl schedule */
/* qbv: the gate opens by the schedule */
/* gcl: pcp, vlan and priority */
/* shaper: qav */
/* timestamp */
int process(int value)
{
    return value + 1;
}
