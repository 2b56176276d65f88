#include "packet/frame_decoder.hh"

#include "packet/layers.hh"

namespace proclabel::packet {

namespace {

/** More headers than any network nests; a hostile frame could hold thousands. */
constexpr int max_layers = 64;

Layer read_layer(Layer layer, Cursor& c, Packet& packet) {
  switch (layer) {
    case Layer::ethernet:
      return read_ethernet(c);
    case Layer::vlan:
      return read_vlan(c);
    case Layer::llc:
      return read_llc(c);
    case Layer::mpls:
      return read_mpls(c);
    case Layer::ppp:
      return read_ppp(c);
    case Layer::pppoe:
      return read_pppoe(c);
    case Layer::cisco_hdlc:
      return read_cisco_hdlc(c);
    case Layer::ipv4:
      return read_ipv4(c);
    case Layer::ipv6:
      return read_ipv6(c);
    case Layer::ip:
      return read_ip(c);
    case Layer::tcp:
      return read_tcp(c, packet);
    case Layer::udp:
      return read_udp(c, packet);
    case Layer::icmp:
      return read_icmp(c, packet);
    case Layer::other_ip:
      return read_other_ip(c, packet);
    case Layer::ip_in_ip:
      return read_ip_in_ip(c, packet);
    case Layer::ether_ip:
      return read_ether_ip(c, packet);
    case Layer::mpls_in_ip:
      return read_mpls_in_ip(c, packet);
    case Layer::pim:
      return read_pim(c, packet);
    case Layer::gre:
      return read_gre(c, packet);
    case Layer::vxlan:
      return read_vxlan(c);
    case Layer::vxlan_gpe:
      return read_vxlan_gpe(c);
    case Layer::geneve:
      return read_geneve(c);
    case Layer::gtp_u:
      return read_gtp_u(c);
    case Layer::teredo:
      return read_teredo(c);
    case Layer::l2tp:
      return read_l2tp(c);
    case Layer::mpls_in_udp:
      return read_mpls_in_udp(c);
    case Layer::nsh:
      return read_nsh(c);
    case Layer::macsec:
      return read_macsec(c);
    case Layer::vn_tag:
      return read_vn_tag(c);
    case Layer::fabric_path:
      return read_fabric_path(c);
    case Layer::e_tag:
      return read_e_tag(c);
    case Layer::tzsp:
      return read_tzsp(c);
    case Layer::ayiya:
      return read_ayiya(c);
    case Layer::lisp:
      return read_lisp(c);
    case Layer::provider_backbone:
      return read_provider_backbone(c);
    case Layer::stop:
    case Layer::later_fragment:
      break;
  }
  return Layer::stop;
}

FragmentKey fragment_key(const Cursor& c, int64_t ip_offset, uint32_t id) {
  if (c.u8(ip_offset) >> 4 == 4)
    return {c.address(ip_offset + 12, 4), c.address(ip_offset + 16, 4), id, 4, c.u8(ip_offset + 9)};
  return {c.address(ip_offset + 8, 6), c.address(ip_offset + 24, 6), id, 6, 0};
}

}  // namespace

Reason FrameDecoder::decode(Slice frame, uint16_t link_type, Packet& packet, std::vector<Packet>& released) {
  Cursor c(frame, packet.wire_length);
  Layer layer = read_link(c, link_type);
  for (int layers = 0; layer != Layer::stop; layers++) {
    if (layers == max_layers) {
      c.reason = Reason::too_many_layers;
      break;
    }
    layer = layer == Layer::later_fragment ? join_fragment(c, packet) : read_layer(layer, c, packet);
  }
  if (c.committed == Quality::nothing) return c.reason;
  if (c.first_fragment_count > 0) learn_fragments(c, packet, released);
  return Reason::ok;
}

/** A later fragment inside a tunnel, if nothing is known of its first, belongs to the outer session. */
Layer FrameDecoder::join_fragment(Cursor& c, Packet& packet) {
  const FragmentKey key = fragment_key(c, c.ip_offset, c.fragment_id);
  if (c.committed == Quality::ports && !fragments_.knows_session(key)) return Layer::stop;
  c.commit(packet, Quality::other);
  packet.later_fragment = true;
  const Reason reason = fragments_.join(key, packet);
  if (reason == Reason::ok) return Layer::stop;
  c.committed = Quality::nothing;
  return c.stop(reason);
}

/** Only the fragments of the session's own IP header have its ports; those of an outer one are parts of a tunnel. */
void FrameDecoder::learn_fragments(const Cursor& c, const Packet& packet, std::vector<Packet>& released) {
  for (uint32_t i = 0; i < c.first_fragment_count; i++) {
    const auto [ip_offset, id] = c.first_fragments[i];
    fragments_.learn(fragment_key(c, ip_offset, id), ip_offset != c.committed_ip_offset, packet, released);
  }
}

}  // namespace proclabel::packet
