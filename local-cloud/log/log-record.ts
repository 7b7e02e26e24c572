/**
 * A record of the log as it lies on the disk:
 *
 *     record = length:u32 crc:u32 partition:u16 0:u16 enqueuedMs:f64 sequence:f64 payload
 *
 * The CRC covers everything behind it.
 */
import { crc32 } from 'node:zlib'

export const headerBytes = 28
const crcStart = 8
/** Larger than any message of the hub; a length beyond it is damage. */
const recordBytesMax = 8 * 1024 * 1024

export type Position = { readonly sequenceNumber: number; readonly offset: number; readonly enqueuedMs: number }

/** Completes a record whose payload is in its place. */
export function writeHeader(
  target: Buffer,
  at: number,
  partition: number,
  { sequenceNumber, enqueuedMs }: Position,
  payloadBytes: number,
): void {
  target.writeUInt32LE(payloadBytes, at)
  target.writeUInt16LE(partition, at + 8)
  target.writeUInt16LE(0, at + 10)
  target.writeDoubleLE(enqueuedMs, at + 12)
  target.writeDoubleLE(sequenceNumber, at + 20)
  target.writeUInt32LE(crc32(target.subarray(at + crcStart, at + headerBytes + payloadBytes)), at + 4)
}

export function decodeRecord(contents: Buffer, position: number) {
  if (position + headerBytes > contents.length) return undefined
  const length = contents.readUInt32LE(position)
  const end = position + headerBytes + length
  if (length > recordBytesMax || end > contents.length) return undefined
  if (crc32(contents.subarray(position + crcStart, end)) !== contents.readUInt32LE(position + 4)) return undefined
  return {
    partition: contents.readUInt16LE(position + 8),
    enqueuedMs: contents.readDoubleLE(position + 12),
    sequenceNumber: contents.readDoubleLE(position + 20),
    payload: contents.subarray(position + headerBytes, end),
  }
}

/** A piece of the log as it lies in its file. */
export type Stretch = { readonly offset: number; readonly bytes: Buffer }

/** The payload of a record, if all of it is in the stretch. */
export function payloadIn({ offset, bytes }: Stretch, recordOffset: number): Buffer | undefined {
  const at = recordOffset - offset
  if (at < 0 || at + headerBytes > bytes.length) return undefined
  const end = at + headerBytes + bytes.readUInt32LE(at)
  return end <= bytes.length ? bytes.subarray(at + headerBytes, end) : undefined
}
