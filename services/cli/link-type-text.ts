/** Names of link types that occur but are not decoded (tcpdump.org/linktypes.html). */
const names: Record<number, string> = {
  8: 'SLIP',
  119: 'IEEE802_11_PRISM',
  144: 'LINUX_IRDA',
  163: 'IEEE802_11_AVS',
  177: 'LINUX_LAPD',
  187: 'BLUETOOTH_HCI_H4',
  189: 'USB_LINUX',
  195: 'IEEE802_15_4_WITHFCS',
  201: 'BLUETOOTH_HCI_H4_WITH_PHDR',
  220: 'USB_LINUX_MMAPPED',
  227: 'CAN_SOCKETCAN',
  230: 'IEEE802_15_4_NOFCS',
  249: 'USBPCAP',
}

/** A link type as `LINKTYPE_NAME (number)`; the number alone where we know no name. */
export const linkTypeText = (linkType: number): string =>
  names[linkType] ? `LINKTYPE_${names[linkType]} (${linkType})` : String(linkType)
