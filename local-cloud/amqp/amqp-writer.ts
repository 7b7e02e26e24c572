/** Writes the few AMQP 1.0 types that messages are made of (OASIS AMQP 1.0 part 1). Bytes out, nothing kept. */

export class AmqpWriter {
  #buffer = Buffer.allocUnsafe(512)
  #length = 0

  /** A described section: 0x00, smallulong descriptor. */
  descriptor(code: number): this {
    this.#reserve(3)
    this.#buffer[this.#length++] = 0x00
    this.#buffer[this.#length++] = 0x53
    this.#buffer[this.#length++] = code
    return this
  }

  null(): this {
    this.#reserve(1)
    this.#buffer[this.#length++] = 0x40
    return this
  }

  symbol(text: string): this {
    return this.#variable(0xa3, 0xb3, text, 'latin1')
  }

  string(text: string): this {
    return this.#variable(0xa1, 0xb1, text, 'utf8')
  }

  binary(bytes: Uint8Array): this {
    const isShort = bytes.length < 256
    this.#reserve(5 + bytes.length)
    this.#buffer[this.#length++] = isShort ? 0xa0 : 0xb0
    if (isShort) this.#buffer[this.#length++] = bytes.length
    else this.#length = this.#buffer.writeUInt32BE(bytes.length, this.#length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  long(value: number): this {
    this.#reserve(9)
    this.#buffer[this.#length++] = 0x81
    this.#length = this.#buffer.writeBigInt64BE(BigInt(value), this.#length)
    return this
  }

  timestamp(ms: number): this {
    this.#reserve(9)
    this.#buffer[this.#length++] = 0x83
    this.#length = this.#buffer.writeBigInt64BE(BigInt(Math.round(ms)), this.#length)
    return this
  }

  /** A map; `write` writes keys and values in turn, `count` is how many of both together. */
  map(count: number, write: () => void): this {
    return this.#compound(0xd1, count, write)
  }

  list(count: number, write: () => void): this {
    return this.#compound(0xd0, count, write)
  }

  #compound(code: number, count: number, write: () => void): this {
    this.#reserve(9)
    this.#buffer[this.#length++] = code
    const sizeAt = this.#length
    this.#length += 4
    this.#length = this.#buffer.writeUInt32BE(count, this.#length)
    write()
    this.#buffer.writeUInt32BE(this.#length - sizeAt - 4, sizeAt)
    return this
  }

  /** Bytes that are AMQP already. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length))
  }

  #variable(short: number, long: number, text: string, encoding: 'utf8' | 'latin1'): this {
    const length = Buffer.byteLength(text, encoding)
    this.#reserve(5 + length)
    if (length < 256) {
      this.#buffer[this.#length++] = short
      this.#buffer[this.#length++] = length
    } else {
      this.#buffer[this.#length++] = long
      this.#length = this.#buffer.writeUInt32BE(length, this.#length)
    }
    this.#length += this.#buffer.write(text, this.#length, encoding)
    return this
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + count))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}
