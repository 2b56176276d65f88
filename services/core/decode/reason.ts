/**
 * What became of a frame: `ok`, or why it belongs to no session. The words are metric labels, so the set is closed.
 *
 * - `not-ip`: something else than IPv4 or IPv6 (ARP, STP, LLDP, PPP control, an 802.3 protocol …)
 * - `unsupported-link-type`: the capture's link type is not among those we read
 * - `truncated-header`: the frame or the layer around ends inside a header, or before the transport's ports
 * - `bad-version`, `bad-header-length`: an IP header that contradicts itself
 * - `too-many-layers`: more than 64 headers in front of the transport
 * - `fragment-held`: a later fragment whose first has not been seen yet; reported by the decoder's callback once it comes
 * - `tunnel-fragment`: a later fragment of a tunnelled packet, which its first fragment has already counted
 */
export type Reason =
  | 'ok'
  | 'not-ip'
  | 'unsupported-link-type'
  | 'truncated-header'
  | 'bad-version'
  | 'bad-header-length'
  | 'too-many-layers'
  | 'fragment-held'
  | 'tunnel-fragment'
