/**
 * Turns a batch into messages just under the unit by which IoT Hub counts them (4 KB): a message of 4.1 KB costs as much
 * as one of 8. How far rough bytes shrink is learned from what came out.
 */
import { encodePackedBatch } from '../contract/telemetry/packed-batch.ts'
import type { PackedBatch } from '../contract/telemetry/packed-batch.ts'
import type { Compression, DeviceBlock } from '../contract/telemetry/telemetry.ts'

export const meteringUnitBytes = 4_096
/** Left for the properties of the message, which are counted, too. */
const propertiesBytes = 96
export const bodyBytesMax = meteringUnitBytes - propertiesBytes

export class MessageFiller {
  readonly #compression: Compression
  /** Encoded bytes for one rough byte; the first batch is cut early rather than late. */
  #ratio = 1

  constructor(compression: Compression) {
    this.#compression = compression
  }

  /** Whether a batch of so many rough bytes fills a message. */
  isFull(roughBytes: number): boolean {
    return roughBytes * this.#ratio >= bodyBytesMax * 0.97
  }

  /** @returns one body, usually; more when the guess was too low */
  encode(batch: PackedBatch, roughBytes: number): Uint8Array[] {
    const body = encodePackedBatch(batch, this.#compression)
    // Slowly: a burst of an odd shape must not make the next batches overflow.
    if (roughBytes > bodyBytesMax / 4) this.#ratio += 0.2 * (body.length / roughBytes - this.#ratio)
    if (body.length <= bodyBytesMax) return [body]
    const parts = halved(batch.blocks)
    if (!parts) return [body]
    return parts.flatMap((blocks) => this.encode({ ...batch, blocks }, 0))
  }
}

/** In the order of the blocks; undefined when there is one, which is sent as it is, over several units if it must. */
function halved(blocks: readonly DeviceBlock[]): [DeviceBlock[], DeviceBlock[]] | undefined {
  if (blocks.length < 2) return undefined
  const middle = blocks.length >> 1
  return [blocks.slice(0, middle), blocks.slice(middle)]
}
