/** A message as edgeHub stores it between receiving and handing on. */
import { z } from 'zod'

const StoredHeader = z.object({
  deviceId: z.string(),
  moduleId: z.string().optional(),
  system: z.array(z.tuple([z.string(), z.string()])),
  application: z.array(z.tuple([z.string(), z.string()])),
  expiresMs: z.number(),
})

export type EdgeMessage = z.infer<typeof StoredHeader> & { readonly body: Uint8Array }

export function encodeEdgeMessage({ body, ...header }: EdgeMessage): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(json.length)
  return Buffer.concat([length, json, body])
}

export function decodeEdgeMessage(bytes: Buffer): EdgeMessage {
  const end = 4 + bytes.readUInt32LE(0)
  return { ...StoredHeader.parse(JSON.parse(bytes.subarray(4, end).toString())), body: bytes.subarray(end) }
}
