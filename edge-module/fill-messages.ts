/**
 * Turns a batch into messages just under the unit by which IoT Hub counts them (4 KB): a message of 4.1 KB costs as much
 * as one of 8. How far rough bytes shrink is learned from what came out.
 */
import { encodePackedBatch } from '../contract/telemetry/packed-batch.ts'
import type { PackedBatch } from '../contract/telemetry/packed-batch.ts'
import type { Compression } from '../contract/telemetry/telemetry.ts'

export const meteringUnitBytes = 4_096
/** Left for the properties of the message, which are counted, too. */
const propertiesBytes = 96
export const bodyBytesMax = meteringUnitBytes - propertiesBytes
/**
 * A batch is cut by its delay rather than by the first full message: what it has of a device then shares one block, and the
 * batch is parted into full messages by device. So many bound what a cut has to do at once.
 */
const messagesPerBatchMax = 16
/** Parts are of unequal size, and each has names of its own: aimed a little lower, few of them must be parted again. */
const fillTarget = 0.85

export class MessageFiller {
  readonly #compression: Compression
  /** Encoded bytes for one rough byte; the first batch is cut early rather than late. */
  #ratio = 1

  constructor(compression: Compression) {
    this.#compression = compression
  }

  /** Whether a batch of so many rough bytes is as large as one may be. */
  isFull(roughBytes: number): boolean {
    return roughBytes * this.#ratio >= bodyBytesMax * messagesPerBatchMax
  }

  /** @returns bodies just under the metering unit; a block that is larger by itself is sent over several units */
  encode(batch: PackedBatch, roughBytes: number): Uint8Array[] {
    const body = encodePackedBatch(batch, this.#compression)
    // Slowly: a burst of an odd shape must not mislead the next batches.
    if (roughBytes > bodyBytesMax / 4) this.#ratio += 0.2 * (body.length / roughBytes - this.#ratio)
    const { blocks } = batch
    if (body.length <= bodyBytesMax || blocks.length < 2) return [body]
    const parts = Math.min(blocks.length, Math.ceil(body.length / (bodyBytesMax * fillTarget)))
    return Array.from({ length: parts }, (_, part) =>
      blocks.slice(Math.floor((part * blocks.length) / parts), Math.floor(((part + 1) * blocks.length) / parts)),
    ).flatMap((some) => this.encode({ ...batch, blocks: some }, 0))
  }
}
