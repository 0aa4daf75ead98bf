#!/bin/sh
# SPDX-License-Identifier: MIT
# state.sh - what a guest has made of its vCPUs and interrupt controllers is saved, and goes on in another
# VM. On arm64 and riscv64; x86_64's is tests/unit/test_x86_64_state.c, as other machines' KVM has it.
. "$(dirname "$0")/lib.sh"

test_goes_on_in_another_vm() {
	only aarch64 riscv64
	status 0 timeout 170 /lab/state >out
	wanted='goes on with what was pending
goes on three times more
what cannot be is refused'
	[ "$(uname -m)" = aarch64 ] || wanted="$wanted
all messages, or none"
	equal "$(cat out)" "$wanted"
}

run_tests
