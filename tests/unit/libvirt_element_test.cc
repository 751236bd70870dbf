// SPDX-License-Identifier: MIT
#include "tools/libvirt_element.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

LibvirtRequest request(const std::string& spec) {
  LibvirtRequest made;
  made.spec_text = spec;
  made.spec = parse_spec(spec).value();
  made.fresh_mac = *parse_mac("52:54:00:00:00:01");
  return made;
}

LibvirtRequest over(const std::string& spec, const std::string& socket) {
  LibvirtRequest made = request(spec);
  made.vhost_user_socket = socket;
  return made;
}

LibvirtRequest existing(const std::string& spec, const std::string& name, const std::string& kind,
                        unsigned mtu = 1500) {
  LibvirtRequest made = request(spec);
  Link link;
  link.name = name;
  link.kind = kind;
  link.mtu = mtu;
  link.mac = *parse_mac("02:00:00:00:00:07");
  made.existing = link;
  return made;
}

std::string xml_of(const LibvirtRequest& request) {
  const auto element = libvirt_element(request);
  return element.is_ok() ? element.value().xml : element.error().line();
}

TEST(LibvirtElement, BridgeIsOneForTheHelper) {
  EXPECT_EQ(xml_of(request("bridge=br0")),
            "<interface type='bridge'>\n"
            "  <mac address='52:54:00:00:00:01'/>\n"
            "  <source bridge='br0'/>\n"
            "  <model type='virtio'/>\n"
            "</interface>\n");
  EXPECT_NE(xml_of(request("bridge=br0,guest_mac=52:54:00:aa:bb:cc")).find("'52:54:00:aa:bb:cc'"), std::string::npos);
}

TEST(LibvirtElement, BridgeRefusesWhatLibvirtCantTellTheHelper) {
  for (const char* key : {"queues=2", "name=vm-1", "up=off", "mac=52:54:00:00:00:02", "mtu=1400", "isolated=on",
                          "lock=on,guest_mac=52:54:00:00:00:02", "rate_to=1mbit", "rate_from=1mbit", "filter=ipv4"}) {
    const std::string line = xml_of(request(std::string("bridge=br0,") + key));
    EXPECT_NE(line.find("libvirt tells the helper nothing but the bridge's name"), std::string::npos) << line;
    EXPECT_NE(line.find(std::string(key).substr(0, 4)), std::string::npos) << line;
  }
  EXPECT_EQ(
      xml_of(request("bridge=br0,queues=2,mtu=1400")),
      "express bridge=br0,queues=2,mtu=1400: mtu=, queues=: libvirt tells the helper nothing but the bridge's name; "
      "give --vhost-user=SOCKET, or persist=on and name=");
}

TEST(LibvirtElement, WhatQemuDecidesIsRefusedEverywhere) {
  for (const char* key : {"vnet_hdr=off", "vnet_hdr_sz=10", "vhost=on"}) {
    const std::string spec = std::string("tap=vm-1,") + key;
    for (const LibvirtRequest& asked : {existing(spec, "vm-1", "tun"), over(spec, "/s")}) {
      EXPECT_NE(xml_of(asked).find("libvirt and QEMU decide that themselves"), std::string::npos) << key;
    }
  }
}

TEST(LibvirtElement, WhatExistsIsOpenedByItsName) {
  EXPECT_EQ(xml_of(existing("tap=vm-1,queues=2", "vm-1", "tun", 1400)),
            "<interface type='ethernet'>\n"
            "  <mac address='52:54:00:00:00:01'/>\n"
            "  <target dev='vm-1' managed='no'/>\n"
            "  <model type='virtio'/>\n"
            "  <driver queues='2'/>\n"
            "  <mtu size='1400'/>\n"
            "</interface>\n");
  const std::string macvtap = xml_of(existing("device=7", "mv0", "macvtap"));
  EXPECT_NE(macvtap.find("dev='mv0'"), std::string::npos) << macvtap;
  EXPECT_NE(macvtap.find("<mac address='02:00:00:00:00:07'/>"), std::string::npos) << "its own address";
}

TEST(LibvirtElement, WhatIsToPersistIsNamedBeforeItExists) {
  const auto made = libvirt_element(request("bridge=br0,name=vm-1,persist=on,mtu=1400,rate_to=1mbit,up=off"));
  ASSERT_TRUE(made.is_ok());
  EXPECT_NE(made.value().xml.find("<target dev='vm-1' managed='no'/>"), std::string::npos);
  EXPECT_NE(made.value().xml.find("<mtu size='1400'/>"), std::string::npos);
  ASSERT_EQ(made.value().notes.size(), 1u);
  for (const char* spec : {"bridge=br0,persist=on", "bridge=br0,persist=on,name=vm-%d", "tap,persist=on"}) {
    EXPECT_NE(xml_of(request(spec)).find("the element must name an interface; give name="), std::string::npos);
  }
}

TEST(LibvirtElement, AMacvtapThatIsToPersistIsNamedWhenItsAddressIsKnown) {
  const std::string spec = "macvtap=eth0,name=mv-1,persist=on";
  EXPECT_NE(xml_of(request(spec)).find("or make it first: tapferry probe '--net=" + spec + "'"), std::string::npos);
  const std::string chosen = xml_of(request(spec + ",mac=52:54:00:00:00:09"));
  EXPECT_NE(chosen.find("<mac address='52:54:00:00:00:09'/>"), std::string::npos) << chosen;
  EXPECT_NE(
      xml_of(request(spec + ",mac=52:54:00:00:00:09,guest_mac=52:54:00:00:00:08")).find("isn't the macvtap's own"),
      std::string::npos);
  const std::string made = xml_of(existing(spec, "mv-1", "macvtap"));
  EXPECT_NE(made.find("<target dev='mv-1' managed='no'/>"), std::string::npos) << made;
  EXPECT_NE(made.find("<mac address='02:00:00:00:00:07'/>"), std::string::npos) << made;
  EXPECT_NE(xml_of(existing(spec, "mv-1", "tun")).find("mv-1 is no macvtap"), std::string::npos);
}

TEST(LibvirtElement, WhatDoesntExistOrIsNoTapIsRefused) {
  EXPECT_NE(xml_of(request("tap=vm-1")).find("there is no vm-1"), std::string::npos);
  EXPECT_NE(xml_of(existing("tap=br0", "br0", "bridge")).find("br0 is no tap"), std::string::npos);
  EXPECT_NE(xml_of(existing("device=vm-1", "vm-1", "tun")).find("vm-1 is no macvtap"), std::string::npos);
  EXPECT_NE(
      xml_of(existing("tap=vm-1,rate_to=1mbit", "vm-1", "tun")).find("rate_to=: libvirt opens the interface as it is"),
      std::string::npos);
  EXPECT_NE(
      xml_of(existing("device=mv0,guest_mac=52:54:00:00:00:02", "mv0", "macvtap")).find("isn't the macvtap's own"),
      std::string::npos);
  EXPECT_NE(xml_of(request("tap")).find("libvirt makes no tap without privilege"), std::string::npos);
  EXPECT_NE(xml_of(request("macvtap=eth0")).find("libvirt makes no macvtap without privilege"), std::string::npos);
}

TEST(LibvirtElement, VhostUserTakesAnyRequest) {
  const auto made = libvirt_element(over("bridge=br0,queues=2,mtu=1400,rate_to=1mbit", "/run/a'b&<c>"));
  ASSERT_TRUE(made.is_ok());
  EXPECT_EQ(made.value().xml,
            "<interface type='vhostuser'>\n"
            "  <mac address='52:54:00:00:00:01'/>\n"
            "  <source type='unix' path='/run/a&apos;b&amp;&lt;c&gt;' mode='client'>\n"
            "    <reconnect enabled='yes' timeout='1'/>\n"
            "  </source>\n"
            "  <model type='virtio'/>\n"
            "  <driver queues='2'/>\n"
            "</interface>\n");
  ASSERT_EQ(made.value().notes.size(), 3u);
  EXPECT_EQ(made.value().notes[0],
            "run beside the domain: tapferry-vhost '--socket-path=/run/a'\\''b&<c>' "
            "'--net=bridge=br0,queues=2,mtu=1400,rate_to=1mbit'");
}

TEST(LibvirtElement, AMacvtapsGuestHasItsAddress) {
  EXPECT_NE(xml_of(over("macvtap=eth0", "/s")).find("isn't known yet"), std::string::npos);
  for (const char* key : {"mac", "guest_mac"}) {
    const std::string text = xml_of(over(std::string("macvtap=eth0,") + key + "=52:54:00:00:00:09", "/s"));
    EXPECT_NE(text.find("<mac address='52:54:00:00:00:09'/>"), std::string::npos) << text;
  }
  const std::string differ = "macvtap=eth0,mac=52:54:00:00:00:09,guest_mac=52:54:00:00:00:08";
  EXPECT_NE(xml_of(over(differ, "/s")).find("isn't the macvtap's own address"), std::string::npos);
}

TEST(LibvirtElement, SocketIsOneThatXmlAndLibvirtCanHave) {
  EXPECT_NE(xml_of(over("bridge=br0", "s")).find("absolute path"), std::string::npos);
  EXPECT_NE(xml_of(over("bridge=br0", "")).find("absolute path"), std::string::npos);
  EXPECT_NE(xml_of(over("bridge=br0", "/" + std::string(107, 'x'))).find("longer than"), std::string::npos);
  EXPECT_NE(xml_of(over("bridge=br0", "/a\nb")).find("control characters"), std::string::npos);
  EXPECT_NE(xml_of(over("bridge=br0", "/\xff")).find("UTF-8"), std::string::npos);
  EXPECT_NE(xml_of(request("bridge=\xff")).find("UTF-8"), std::string::npos);
  EXPECT_NE(xml_of(request("bridge=a'<&\"b")).find("bridge='a&apos;&lt;&amp;&quot;b'"), std::string::npos);
}

}  // namespace
}  // namespace tapferry
