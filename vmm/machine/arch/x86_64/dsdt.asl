/* SPDX-License-Identifier: MIT */
/*
 * What is always there. virtio devices come in tables of their own, made from
 * virtio.asl. Addresses: layout.h and the device files.
 */
DefinitionBlock ("", "DSDT", 2, "LUNETT", "LUNETTE ", 1)
{
    /* Written to the sleep control register: off. */
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        /* Power-off and reset (acpi_pm.c): nobody else may use these ports. */
        Device (PM)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x600, 0x600, 1, 4) })
        }

        /* One bus, no bridges; the configuration space is at 0xCF8 and, by the MCFG, in memory. */
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0, 0, 1)
                IO (Decode16, 0xCF8, 0xCF8, 1, 8)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xD8000000, 0xDFFFFFFF, 0, 0x08000000)
            })
        }

        /* The configuration space in memory is nobody else's. */
        Device (ECAM)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x00100000)
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x3F8, 0x3F8, 1, 8)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
            })
        }

        /* There when the user asked for it: without it the port reads as ones. */
        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 2)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x2F8, 0x2F8, 1, 8)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 3 }
            })
            OperationRegion (PORT, SystemIO, 0x2F8, 8)
            Field (PORT, ByteAcc, NoLock, Preserve)
            {
                Offset (5),
                LSR, 8
            }
            Method (_STA)
            {
                If (LSR == 0xFF) { Return (0) }
                Return (0x0F)
            }
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x70, 0x70, 1, 2) })
        }

        Device (PANC)
        {
            Name (_HID, "QEMU0001")
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x505, 0x505, 1, 1) })
        }
    }
}
