/** The one door through which the body of a message becomes readings, chosen by content type and encoding. */
import { decodeJsonTelemetry } from './json.ts'
import { MalformedTelemetryError } from './malformed.ts'
import { decodePackedBatch, isPackedBatch, packedBatchContentType } from './packed-batch.ts'
import { decodeSenml, senmlContentType } from './senml.ts'
import type { Compression, DeviceBlock, Series } from './telemetry.ts'
import { telemetryLimits } from './telemetry.ts'

/** Application properties that Millwright devices stamp. Lower camel: the Functions worker alters a first capital. */
export const stamp = { bootId: 'bootId', seq: 'seq', count: 'count', model: 'model' } as const

/** Properties the edge stamps on a message it could not decode and passes on for inspection. */
export const rejectedAtEdge = { device: 'rejectedDevice', reason: 'rejectedReason' } as const

/** On a packed batch of an edge module: readings that will come again, sent ahead so that people see the present. */
export const previewProperty = 'preview'

export type TelemetryMessage = {
  readonly body: Uint8Array
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  /** The authenticated sender. */
  readonly deviceId: string | undefined
  /** Set when the sender is an edge module, which may speak for the devices behind its gateway. */
  readonly moduleId: string | undefined
  readonly properties: Readonly<Record<string, unknown>>
  /** DTMI the hub stamped (`dt-dataschema`), for Plug and Play devices. */
  readonly dataSchema?: string | undefined
  readonly arrivedMs: number
}

/**
 * Blocks of one message. A block of a foreign device has an empty `bootId` and seqs from 1: the caller numbers it.
 * @throws MalformedTelemetryError with the reason to set the message aside
 */
export function decodeTelemetry(message: TelemetryMessage, compression: Compression): readonly DeviceBlock[] {
  const { body, deviceId, moduleId } = message
  if (body.length > telemetryLimits.messageBytesMax) {
    throw new MalformedTelemetryError('too-large', `${body.length} bytes, the limit is ${telemetryLimits.messageBytesMax}`)
  }
  if (deviceId === undefined || deviceId === '') throw new MalformedTelemetryError('unknown-device', 'the message names no device')
  const type = mediaType(message.contentType, body)
  if (type === packedBatchContentType) {
    const { blocks } = decodePackedBatch(body, compression)
    const foreign = moduleId === undefined && blocks.find((block) => block.deviceId !== deviceId)
    if (foreign) throw new MalformedTelemetryError('foreign-device', `'${deviceId}' speaks for '${foreign.deviceId}' and is no edge module`)
    return blocks
  }
  const { bootId, firstSeq } = stampOf(message.properties)
  const options = { firstSeq, arrivedMs: message.arrivedMs }
  const series = decodeSeries(type, decompress(message, compression), options)
  const toSeq = firstSeq - 1 + series.reduce((count, { values }) => count + values.length, 0)
  const modelId = textProperty(message.properties, stamp.model) ?? message.dataSchema ?? ''
  return [{ deviceId, bootId, modelId, fromSeq: firstSeq, toSeq, receivedSeq: toSeq, series, filtered: 0, rejected: [] }]
}

function decodeSeries(type: string, body: Uint8Array, options: { firstSeq: number; arrivedMs: number }): Series[] {
  switch (type) {
    case 'application/json':
      return decodeJsonTelemetry(body, options)
    case senmlContentType:
      return decodeSenml(body, options)
    default:
      throw new MalformedTelemetryError('unsupported-content-type', `'${type}'`)
  }
}

/** Devices often name no type, or a generic one: then the first byte tells. */
function mediaType(contentType: string | undefined, body: Uint8Array): string {
  const type = contentType?.split(';')[0]?.trim().toLowerCase()
  const isUnspecific = !type || type === 'application/octet-stream' || type === 'text/plain'
  if (!isUnspecific) return type
  return isPackedBatch(body) ? packedBatchContentType : 'application/json'
}

function decompress(message: TelemetryMessage, compression: Compression): Uint8Array {
  const encoding = message.contentEncoding?.toLowerCase()
  try {
    if (encoding === 'gzip') return compression.gunzip(message.body, telemetryLimits.inflatedBytesMax)
    if (encoding === 'deflate') return compression.inflateRaw(message.body, telemetryLimits.inflatedBytesMax)
  } catch (error) {
    throw new MalformedTelemetryError('too-large', `the ${encoding} body cannot be inflated within its limit`, { cause: error })
  }
  return message.body
}

function stampOf(properties: TelemetryMessage['properties']): { bootId: string; firstSeq: number } {
  const bootId = textProperty(properties, stamp.bootId)
  const seq = Number(properties[stamp.seq])
  return bootId !== undefined && Number.isSafeInteger(seq) && seq >= 1 ? { bootId, firstSeq: seq } : { bootId: '', firstSeq: 1 }
}

function textProperty(properties: TelemetryMessage['properties'], name: string): string | undefined {
  const value = properties[name]
  return typeof value === 'string' && value !== '' && value.length <= 256 ? value : undefined
}

/** The range of seqs a stamped message stands for, readable even when its body is not. */
export function stampedRange(properties: TelemetryMessage['properties']): { bootId: string; seq: number; count: number } | undefined {
  const { bootId, firstSeq } = stampOf(properties)
  if (bootId === '') return undefined
  const count = Number(properties[stamp.count])
  return { bootId, seq: firstSeq, count: Number.isSafeInteger(count) && count >= 1 && count <= telemetryLimits.readingsMax ? count : 1 }
}
