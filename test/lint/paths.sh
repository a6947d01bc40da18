#!/bin/sh
# Nothing names a directory of the machine it was written on.
! grep -rnIE '(^|[^[:alnum:]_.-])/(home|Users|work|workspace|builds|mnt|media)/' . --exclude-dir=.git
