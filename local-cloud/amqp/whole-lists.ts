/**
 * Azure writes every field of a performative, as null where it has nothing to say; rhea leaves out the last ones, as the
 * standard allows (part 1, §1.4). Microsoft's Python client counts on Azure's way.
 */
import type RheaConnection from 'rhea/lib/connection.js'
import type { Performative, TypedValue } from 'rhea/lib/connection.js'

/** Fields of each performative by its descriptor (part 2, §2.7), and of an error (§2.8.14). */
const fieldCounts: Readonly<Record<number, number>> = {
  0x10: 10,
  0x11: 8,
  0x12: 14,
  0x13: 11,
  0x14: 11,
  0x15: 6,
  0x16: 3,
  0x17: 1,
  0x18: 1,
  0x1d: 3,
}

export function writeWholeLists(connection: RheaConnection): void {
  const write = connection._write_frame.bind(connection)
  connection._write_frame = (channel, frame, payload) => {
    // A frame without a performative is a sign of life.
    if (frame) {
      complete(frame.value, fieldCounts[frame.constructor.descriptor.numeric])
      for (const field of frame.value) completeErrors(field)
    }
    write(channel, frame, payload)
  }
}

/** An error stands in a detach, an end or a close, and in the outcome that a disposition holds. */
function completeErrors(value: TypedValue | null | undefined): void {
  if (!value?.descriptor || !Array.isArray(value.value)) return
  complete(value.value, fieldCounts[Number(value.descriptor.value)])
  for (const field of value.value) completeErrors(field)
}

function complete(fields: Performative['value'], count = 0): void {
  while (fields.length < count) fields.push(null)
}
