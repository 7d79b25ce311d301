// Nothing: the target that compiles the headers which others take over (HapairTargets.cmake) needs one source.
