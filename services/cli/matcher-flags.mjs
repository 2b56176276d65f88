/**
 * Flags of V8 for a service that holds many sessions while megabytes of packets go through it each second. Without the
 * second, these buffers start a collection of the whole heap for every 64 MB; that was a third of a matcher's CPU.
 */
export const matcherFlags = ['--max-semi-space-size=64', '--external-memory-accounted-in-global-limit']
