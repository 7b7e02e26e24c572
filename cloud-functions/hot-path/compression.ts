import { deflateRawSync, gunzipSync, inflateRawSync } from 'node:zlib'
import type { Compression } from '../../contract/telemetry/telemetry.ts'

/** Node's zlib behind the contract's interface. Level 6 costs little at batch size and saves a fifth over level 1. */
export const zlibCompression: Compression = {
  deflateRaw: (bytes) => deflateRawSync(bytes, { level: 6 }),
  inflateRaw: (bytes, bytesMax) => inflateRawSync(bytes, { maxOutputLength: bytesMax }),
  gunzip: (bytes, bytesMax) => gunzipSync(bytes, { maxOutputLength: bytesMax }),
}
