#!/bin/sh
# No left-over marks: what is not done is not there, or is an issue.
! grep -rnIE '\b(TO''DO|FIX''ME|X''XX|HA''CK|W''IP)\b|^(<<''<<<<<|>>''>>>>>|====''===$)' . --exclude-dir=.git
