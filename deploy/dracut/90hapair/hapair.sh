#!/bin/sh
# Sourced by dracut's init, before udev.
/usr/lib/hapair/hapair-early-boot start
