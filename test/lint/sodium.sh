#!/bin/sh
# Cryptography is the keyring's: no other room includes libsodium.
! grep -nE '#[[:space:]]*include[[:space:]]*[<"]sodium' -r src --include='*.[ch]' | grep -v '^src/keyring/'
