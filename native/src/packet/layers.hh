#pragma once

#include "packet/cursor.hh"

namespace proclabel::packet {

/** One reader a layer; each is the twin of the function of that name in services/core/decode/. */

// link.cc
Layer read_link(Cursor& c, uint16_t link_type);

// ethernet.cc
/** The layer that an EtherType announces; stop for one that cannot lead to IP. */
Layer layer_of_ethertype(uint32_t type);
/** The next-protocol numbers of NSH (RFC 8300 section 2.2) and VXLAN-GPE, which agree. */
Layer layer_of_next_protocol(uint8_t next);
Layer read_ethernet(Cursor& c);
Layer read_vlan(Cursor& c);
Layer read_llc(Cursor& c);
Layer read_snap(Cursor& c);
Layer read_macsec(Cursor& c);
Layer read_vn_tag(Cursor& c);
Layer read_e_tag(Cursor& c);
Layer read_fabric_path(Cursor& c);
Layer read_provider_backbone(Cursor& c);
Layer read_nsh(Cursor& c);

// mpls.cc
Layer read_mpls(Cursor& c);

// ppp.cc
Layer read_ppp(Cursor& c);
Layer read_pppoe(Cursor& c);
Layer read_cisco_hdlc(Cursor& c);

// ip.cc
Layer read_ip(Cursor& c);
Layer read_ipv4(Cursor& c);
Layer read_ipv6(Cursor& c);
Layer read_ip_in_ip(Cursor& c, Packet& packet);
Layer read_ether_ip(Cursor& c, Packet& packet);
Layer read_mpls_in_ip(Cursor& c, Packet& packet);
Layer read_pim(Cursor& c, Packet& packet);

// gre.cc
Layer read_gre(Cursor& c, Packet& packet);

// transport.cc
Layer read_tcp(Cursor& c, Packet& packet);
Layer read_udp(Cursor& c, Packet& packet);
Layer read_icmp(Cursor& c, Packet& packet);
Layer read_other_ip(Cursor& c, Packet& packet);

// udp_tunnels.cc
Layer read_vxlan(Cursor& c);
Layer read_vxlan_gpe(Cursor& c);
Layer read_geneve(Cursor& c);
Layer read_gtp_u(Cursor& c);
Layer read_teredo(Cursor& c);
Layer read_l2tp(Cursor& c);
Layer read_tzsp(Cursor& c);
Layer read_ayiya(Cursor& c);
Layer read_lisp(Cursor& c);
Layer read_mpls_in_udp(Cursor& c);

}  // namespace proclabel::packet
