/** LEB128 integers up to 2^53, signed ones by zigzag, and short UTF-8 strings, over a growing byte buffer. */
import { MalformedTelemetryError } from './malformed.ts'

/** Enough for 53 bits and the sign. */
const varintBytesMax = 9
/** A sum up to here, and so many integers of two bytes on top of it, stay within 32 bits. */
const shortSumMax = 2 ** 30
const shortRunMax = 2 ** 16

const utf8Encoder = new TextEncoder()
const utf8Decoder = new TextDecoder('utf-8', { fatal: true })

/** A packed message fits without growing. */
const bytesAtFirst = 8_192

export class ByteWriter {
  #bytes = new Uint8Array(bytesAtFirst)
  length = 0

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.length++] = value
  }

  /** One that was written before. */
  setByte(at: number, value: number): void {
    this.#bytes[at] = value
  }

  uint(value: number): void {
    this.#reserve(varintBytesMax)
    this.length = putUint(this.#bytes, this.length, value)
  }

  int(value: number): void {
    this.#reserve(varintBytesMax)
    this.length = putInt(this.#bytes, this.length, value)
  }

  /** Differences between neighbours, the first against 0. A byte each while they stay below 64. */
  deltas(column: ArrayLike<number>, count: number): void {
    this.#reserve(count * varintBytesMax)
    const bytes = this.#bytes
    let at = this.length
    let previous = 0
    for (let i = 0; i < count; i++) {
      const value = column[i]!
      at = putInt(bytes, at, value - previous)
      previous = value
    }
    this.length = at
  }

  /**
   * The same of values that are integers once multiplied by `factor`, and divided by it come out exactly as they were.
   * @returns false, nothing written, when some are not, or are beyond 29 bits
   */
  scaledDeltas(values: readonly number[], factor: number): boolean {
    const count = values.length
    this.#reserve(count * varintBytesMax)
    const bytes = this.#bytes
    let at = this.length
    let previous = 0
    let magnitudes = 0
    for (let i = 0; i < count; i++) {
      const value = values[i]!
      const integer = Math.floor(value * factor + 0.5) | 0
      // -0 has no integer form.
      if (integer / factor !== value || (integer === 0 && Object.is(value, -0))) return false
      magnitudes |= integer ^ (integer >> 31)
      const delta = integer - previous
      previous = integer
      const zigzag = (delta << 1) ^ (delta >> 31)
      if (zigzag < 0x4000) {
        // One byte or two, without a branch that nobody can foresee.
        const hasSecond = (0x7f - zigzag) >>> 31
        bytes[at] = (zigzag & 0x7f) | (hasSecond << 7)
        bytes[at + 1] = zigzag >>> 7
        at += 1 + hasSecond
      } else at = putInt(bytes, at, delta)
    }
    if (magnitudes >= shortSumMax >> 1) return false
    this.length = at
    return true
  }

  /** Differences of differences; a run of zeros, which even spacing is, costs two bytes however long it is. */
  deltasOfDeltas(column: ArrayLike<number>, count: number, base: number): void {
    this.#reserve(count * varintBytesMax)
    const bytes = this.#bytes
    let at = this.length
    let previous = base
    let delta = 0
    for (let i = 0; i < count; ) {
      const evenUntil = endOfRun(column, i, count, previous, delta)
      if (evenUntil > i) {
        at = putZeros(bytes, at, evenUntil - i)
        previous += delta * (evenUntil - i)
        i = evenUntil
        continue
      }
      const step = column[i++]! - previous
      at = putInt(bytes, at, step - delta)
      delta = step
      previous += step
    }
    this.length = at
  }

  float64(value: number): void {
    this.#reserve(8)
    new DataView(this.#bytes.buffer).setFloat64(this.length, value, true)
    this.length += 8
  }

  uint32(value: number): void {
    this.#reserve(4)
    new DataView(this.#bytes.buffer).setUint32(this.length, value, true)
    this.length += 4
  }

  text(value: string): void {
    const { length } = value
    this.#reserve(varintBytesMax + length)
    const bytes = this.#bytes
    const start = putUint(bytes, this.length, length)
    let at = start
    while (at - start < length) {
      const code = value.charCodeAt(at - start)
      if (code >= 0x80) return this.bytes(utf8Encoder.encode(value))
      bytes[at++] = code
    }
    this.length = at
  }

  /** Length, then the bytes. */
  bytes(value: Uint8Array): void {
    this.uint(value.length)
    this.raw(value)
  }

  raw(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.length)
    this.length += value.length
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.length)
  }

  /** What was written so far, not a copy: good until the next byte. */
  view(start = 0): Uint8Array {
    return this.#bytes.subarray(start, this.length)
  }

  /** Begins anew, with the memory it has. */
  clear(): void {
    this.length = 0
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + count))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

// Functions over the bytes themselves: the columns are written and read a value at a time, millions a second.

function putUint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  bytes[at++] = rest
  return at
}

/** Of its final length at once: growing by a value at a time costs a quarter of decoding. */
function columnOf(count: number): number[] {
  // oxlint-disable-next-line unicorn/no-new-array
  return new Array<number>(count)
}

/** Zigzag. */
function putInt(bytes: Uint8Array, start: number, value: number): number {
  if (value > -0x4000_0000 && value < 0x4000_0000) {
    let rest = (value << 1) ^ (value >> 31)
    if (rest < 0x80) {
      bytes[start] = rest
      return start + 1
    }
    let at = start
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    bytes[at++] = rest
    return at
  }
  // Without 32-bit operators: times and scaled values exceed them.
  return putUint(bytes, start, value < 0 ? -2 * value - 1 : 2 * value)
}

/** Where values stop coming in even steps. */
function endOfRun(column: ArrayLike<number>, from: number, count: number, previous: number, delta: number): number {
  let i = from
  let expected = previous + delta
  while (i < count && column[i] === expected) {
    i++
    expected += delta
  }
  return i
}

function putZeros(bytes: Uint8Array, start: number, count: number): number {
  bytes[start] = 0
  return putUint(bytes, start + 1, count - 1)
}

function fill(column: number[], from: number, to: number, before: number, step: number): void {
  let value = before
  for (let i = from; i < to; i++) column[i] = value += step
}

export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #end: number
  position: number

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.#bytes = bytes
    this.position = position
    this.#end = end
  }

  get remaining(): number {
    return this.#end - this.position
  }

  byte(): number {
    this.#need(1)
    return this.#bytes[this.position++]!
  }

  uint(): number {
    let value = 0
    let factor = 1
    for (let count = 0; count < 8; count++) {
      const byte = this.byte()
      value += (byte & 0x7f) * factor
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
      factor *= 0x80
    }
    throw new MalformedTelemetryError('malformed-batch', 'an integer is longer than 53 bits')
  }

  int(): number {
    const first = this.position < this.#end ? this.#bytes[this.position]! : 0x80
    if (first < 0x80) {
      this.position++
      return (first >>> 1) ^ -(first & 1)
    }
    const zigzag = this.uint()
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2
  }

  /** What `deltas` wrote, divided by `divisor`. */
  deltas(count: number, divisor: number): number[] {
    const column = columnOf(count)
    const bytes = this.#bytes
    const last = this.#end - 1
    let value = 0
    for (let i = 0; i < count; ) {
      value += this.int()
      column[i++] = value / divisor
      if (value < -shortSumMax || value > shortSumMax) continue
      // Most are one byte or two: so many of them stay within 32 bits.
      const until = Math.min(count, i + shortRunMax)
      let at = this.position
      let sum = value | 0
      for (; i < until && at < last; i++) {
        const first = bytes[at]!
        const second = bytes[at + 1]!
        if (first < 0x80) {
          sum = (sum + ((first >>> 1) ^ -(first & 1))) | 0
          at++
        } else if (second < 0x80) {
          const zigzag = (first & 0x7f) | (second << 7)
          sum = (sum + ((zigzag >>> 1) ^ -(zigzag & 1))) | 0
          at += 2
        } else break
        column[i] = sum / divisor
      }
      this.position = at
      value = sum
    }
    return column
  }

  /** What `deltasOfDeltas` wrote. @throws MalformedTelemetryError when a value leaves the safe integers */
  deltasOfDeltas(count: number, base: number): number[] {
    const column = columnOf(count)
    let value = base
    let delta = 0
    for (let i = 0; i < count; ) {
      const change = this.int()
      let times = 1
      if (change === 0) times += this.uint()
      else delta += change
      if (times > count - i) throw new MalformedTelemetryError('malformed-batch', 'a run is longer than its column')
      fill(column, i, i + times, value, delta)
      value += delta * times
      i += times
      if (!Number.isSafeInteger(value)) throw new MalformedTelemetryError('malformed-batch', 'a column leaves the safe integers')
    }
    return column
  }

  float64(): number {
    this.#need(8)
    const value = new DataView(this.#bytes.buffer, this.#bytes.byteOffset).getFloat64(this.position, true)
    this.position += 8
    return value
  }

  /** Raw doubles in an array of their own: what was read from lies anywhere in a larger buffer. */
  float64Array(count: number): Float64Array {
    const column = new Float64Array(count)
    new Uint8Array(column.buffer).set(this.take(count * 8))
    return column
  }

  float64s(count: number): number[] {
    return Array.from({ length: count }, () => this.float64())
  }

  /** A count of things that take at least one byte each, so that a lying count cannot allocate memory. */
  count(): number {
    const count = this.uint()
    if (count > this.remaining) {
      throw new MalformedTelemetryError('malformed-batch', `a count of ${count} exceeds the ${this.remaining} bytes left`)
    }
    return count
  }

  text(): string {
    const bytes = this.take(this.count())
    try {
      return utf8Decoder.decode(bytes)
    } catch {
      throw new MalformedTelemetryError('malformed-batch', 'a name is not UTF-8')
    }
  }

  take(count: number): Uint8Array {
    this.#need(count)
    const bytes = this.#bytes.subarray(this.position, this.position + count)
    this.position += count
    return bytes
  }

  #need(count: number): void {
    if (this.remaining < count) throw new MalformedTelemetryError('malformed-batch', 'the batch ends in the middle')
  }
}
