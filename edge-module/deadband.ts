/**
 * Decides which readings of one signal are worth sending.
 *
 * The comparison is with the last reading *sent*, not the last one seen: comparing with the last one seen would let a
 * slow drift pass for ever without a single message. So what the cloud sees is never further off than the width.
 */
export type DeadbandState = { readonly lastPassed: { readonly timeMs: number; readonly value: number } | undefined }

export const newDeadband: DeadbandState = { lastPassed: undefined }

export type DeadbandSettings = {
  /** In the signal's unit; 0 passes everything. */
  readonly width: number
  /** A signal that does not move is still reported this often. */
  readonly maxIntervalMs: number
}

export function applyDeadband(
  state: DeadbandState,
  reading: { timeMs: number; value: number },
  { width, maxIntervalMs }: DeadbandSettings,
): { state: DeadbandState; passed: boolean } {
  const { lastPassed } = state
  const passed =
    lastPassed === undefined ||
    width === 0 ||
    Math.abs(reading.value - lastPassed.value) > width ||
    Math.abs(reading.timeMs - lastPassed.timeMs) >= maxIntervalMs
  return passed ? { state: { lastPassed: { timeMs: reading.timeMs, value: reading.value } }, passed } : { state, passed }
}
