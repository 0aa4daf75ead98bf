/* SPDX-License-Identifier: MIT */
/*
 * One virtio device on the memory bus, as a template: describe.c makes a copy for
 * each device and replaces the name, the UID (also 0xC0DE0001), the address and
 * the interrupt.
 */
DefinitionBlock ("", "SSDT", 2, "LUNETT", "VIRTIO  ", 1)
{
    Device (\_SB.V0__)
    {
        Name (_HID, "LNRO0005")
        Name (_UID, 0xC0DE0001)
        Name (_CRS, ResourceTemplate ()
        {
            Memory32Fixed (ReadWrite, 0xC0DE0002, 0xC0DE0003)
            Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 0xC0DE0004 }
        })
    }
}
