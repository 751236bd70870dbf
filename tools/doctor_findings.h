// SPDX-License-Identifier: MIT
//
// Every finding that `tapferry doctor` can have: its id, which scripts go by and which therefore stays, and how bad it is.
// tapferry(1) lists the same; a test compares them.
#pragma once

namespace tapferry {

enum class Severity {
  kProblem,  // something doesn't work, or isn't safe: exit status 1
  kWarning,  // it may not work, or not for everybody
  kNote,     // good to know
};

struct FindingKind {
  const char* id = "";
  Severity severity = Severity::kProblem;
};

namespace finding {

// helper
inline constexpr FindingKind kHelperMissing = {"helper-missing", Severity::kProblem};
inline constexpr FindingKind kHelperForbidden = {"helper-forbidden", Severity::kProblem};
inline constexpr FindingKind kHelperOwner = {"helper-owner", Severity::kProblem};
inline constexpr FindingKind kHelperNotSetuid = {"helper-not-setuid", Severity::kProblem};
inline constexpr FindingKind kHelperWritable = {"helper-writable", Severity::kProblem};
inline constexpr FindingKind kHelperNosuid = {"helper-nosuid", Severity::kProblem};
inline constexpr FindingKind kHelperCapabilities = {"helper-capabilities", Severity::kProblem};
inline constexpr FindingKind kHelperNeedsSetuid = {"helper-needs-setuid", Severity::kProblem};
inline constexpr FindingKind kHelperBroken = {"helper-broken", Severity::kProblem};
inline constexpr FindingKind kNoNewPrivs = {"no-new-privs", Severity::kProblem};
inline constexpr FindingKind kUserNamespace = {"user-namespace", Severity::kProblem};
inline constexpr FindingKind kBoundingSet = {"bounding-set", Severity::kProblem};
inline constexpr FindingKind kWardenUserNeeded = {"warden-user-needed", Severity::kProblem};
inline constexpr FindingKind kWardenUserMissing = {"warden-user-missing", Severity::kWarning};

// policy
inline constexpr FindingKind kPolicyMissing = {"policy-missing", Severity::kProblem};
inline constexpr FindingKind kPolicyUnreadable = {"policy-unreadable", Severity::kProblem};
inline constexpr FindingKind kPolicyOwner = {"policy-owner", Severity::kProblem};
inline constexpr FindingKind kPolicyWritable = {"policy-writable", Severity::kProblem};
inline constexpr FindingKind kPolicyInclude = {"policy-include", Severity::kProblem};
inline constexpr FindingKind kPolicyMalformed = {"policy-malformed", Severity::kProblem};
inline constexpr FindingKind kPolicyNoRule = {"policy-no-rule", Severity::kProblem};
inline constexpr FindingKind kPolicyNewLogin = {"policy-new-login", Severity::kProblem};
inline constexpr FindingKind kPolicyDenied = {"policy-denied", Severity::kProblem};
inline constexpr FindingKind kPolicyDenyHidden = {"policy-deny-hidden", Severity::kWarning};
inline constexpr FindingKind kPolicyIncludeSkipped = {"policy-include-skipped", Severity::kNote};
inline constexpr FindingKind kPolicyQemuFallback = {"policy-qemu-fallback", Severity::kNote};

// interfaces that the policy names, and what happens to their frames
inline constexpr FindingKind kBridgeMissing = {"bridge-missing", Severity::kProblem};
inline constexpr FindingKind kBridgeNone = {"bridge-no-bridge", Severity::kProblem};
inline constexpr FindingKind kBridgeDown = {"bridge-down", Severity::kProblem};
inline constexpr FindingKind kParentMissing = {"parent-missing", Severity::kProblem};
inline constexpr FindingKind kParentDown = {"parent-down", Severity::kProblem};
inline constexpr FindingKind kNetfilterDrops = {"netfilter-drops", Severity::kProblem};
inline constexpr FindingKind kNetfilterMayDrop = {"netfilter-may-drop", Severity::kWarning};

// devices and kernel
inline constexpr FindingKind kTunMissing = {"tun-missing", Severity::kProblem};
inline constexpr FindingKind kTunNoDevice = {"tun-no-device", Severity::kProblem};
inline constexpr FindingKind kTunNoDriver = {"tun-no-driver", Severity::kProblem};
inline constexpr FindingKind kTunClosed = {"tun-closed", Severity::kProblem};
inline constexpr FindingKind kTunMode = {"tun-mode", Severity::kNote};
inline constexpr FindingKind kVhostNet = {"vhost-net", Severity::kWarning};
inline constexpr FindingKind kKernelMacvtap = {"kernel-macvtap", Severity::kProblem};
inline constexpr FindingKind kKernelRateTo = {"kernel-rate-to", Severity::kProblem};
inline constexpr FindingKind kKernelRateFrom = {"kernel-rate-from", Severity::kProblem};
inline constexpr FindingKind kKernelFilter = {"kernel-filter", Severity::kProblem};
inline constexpr FindingKind kIoUringDisabled = {"io-uring-disabled", Severity::kWarning};
inline constexpr FindingKind kIoUringForbidden = {"io-uring-forbidden", Severity::kWarning};
inline constexpr FindingKind kIoUringMissing = {"io-uring-missing", Severity::kWarning};
inline constexpr FindingKind kIoUringMemlock = {"io-uring-memlock", Severity::kWarning};
inline constexpr FindingKind kTapNowait = {"tap-nowait", Severity::kNote};

// libvirt, QEMU
inline constexpr FindingKind kLibvirtHelperMissing = {"libvirt-helper-missing", Severity::kProblem};
inline constexpr FindingKind kLibvirtHelperOther = {"libvirt-helper-other", Severity::kWarning};
inline constexpr FindingKind kLibvirtHelperUnset = {"libvirt-helper-unset", Severity::kNote};
inline constexpr FindingKind kLibvirtWrongFile = {"libvirt-wrong-file", Severity::kWarning};
inline constexpr FindingKind kQemuDefaultHelper = {"qemu-default-helper", Severity::kNote};
inline constexpr FindingKind kAppArmorDenies = {"apparmor-denies", Severity::kProblem};

// left behind
inline constexpr FindingKind kLeftMacvtap = {"left-macvtap", Severity::kProblem};
inline constexpr FindingKind kUnwatchedMacvtap = {"unwatched-macvtap", Severity::kProblem};
inline constexpr FindingKind kLeftTap = {"left-tap", Severity::kProblem};
inline constexpr FindingKind kLeftOvsPort = {"left-ovs-port", Severity::kProblem};
inline constexpr FindingKind kLeftNode = {"left-node", Severity::kProblem};

}  // namespace finding
}  // namespace tapferry
