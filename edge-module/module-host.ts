/**
 * Connects the module to the edge runtime by the official SDK: input messages, outputs, the twin's properties, direct
 * methods, and reported health.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deflateRawSync, gunzipSync, inflateRawSync } from 'node:zlib'
import iot from 'azure-iot-device'
import type { ModuleClient, Twin } from 'azure-iot-device'
import { z } from 'zod'
import { errorText } from '../contract/error-text.ts'
import type { Compression } from '../contract/telemetry/telemetry.ts'
import { AcknowledgingMqtt } from './acknowledging-transport.ts'
import { EdgeModule } from './edge-module.ts'
import type { Output } from './edge-module.ts'
import { HealthReporter } from './health.ts'
import { Intake } from './intake.ts'
import type { Log } from './log.ts'
import { Outbox } from './outbox.ts'
import type { OutgoingMessage } from './outbox.ts'
import { EdgeModuleSettings } from './settings.ts'
import type { LogLevel } from './settings.ts'

const compression: Compression = {
  deflateRaw: (bytes) => deflateRawSync(bytes, { level: 6 }),
  inflateRaw: (bytes, bytesMax) => inflateRawSync(bytes, { maxOutputLength: bytesMax }),
  gunzip: (bytes, bytesMax) => gunzipSync(bytes, { maxOutputLength: bytesMax }),
}

/** A device that does not answer a safety call in this time is reported, not waited for. */
const callTimeoutS = 5
const heartbeatMs = 10_000
const flushMsMax = 10_000
/** The SDK closes by a state machine that may wait for a lost connection. */
const closeMsMax = 1_000

/** `infra/edge/edge-module.dtdl.json` says what can be set, read and called. */
const edgeModuleModelId = 'dtmi:millwright:EdgeModule;1'

export type ModuleHostOptions = {
  readonly settings: EdgeModuleSettings
  readonly newBoot: string
  readonly log: Log
  readonly setLogLevel: (level: LogLevel) => void
}

export type ModuleHost = { stop(): Promise<void> }

/** Connects by what the edge runtime put into the environment. */
export async function startModuleHost({ settings, newBoot, log, setLogLevel }: ModuleHostOptions): Promise<ModuleHost> {
  const stopping = new AbortController()
  const client = await iot.ModuleClient.fromEnvironment(AcknowledgingMqtt)
  client.on('error', (error) => log('warn', 'client-error', { error: error.message }))
  client.on('disconnect', () => log('warn', 'disconnected'))

  const outbox = new Outbox<Output>({
    send: async (output, message) => void (await client.sendOutputEvent(output, toMessage(message))),
    signal: stopping.signal,
    onFailure: (output, error) => log('warn', 'send-failed', { output, error: errorText(error) }),
  })
  const intake: Intake = new Intake({
    directory: settings.MODULE_DATA,
    bytesMax: settings.JOURNAL_BYTES_MAX,
    nowMs: Date.now,
    complete: (message) => client.complete(message, () => {}),
    onTaken: (taken) => module.taken(taken),
    onTrouble: (reason, error) => {
      if (error) log('error', reason, { error: error.message })
      else log('info', `${reason}-over`)
      if (error && reason === 'journal-full') module.relieve()
      health?.trouble(reason, error)
    },
  })
  const module: EdgeModule = new EdgeModule({
    settings,
    newBoot,
    intake,
    outbox,
    compression,
    nowMs: Date.now,
    log,
    callDevice: async (deviceId, { method, payload }) => {
      const { status } = await client.invokeMethod(deviceId, {
        methodName: method,
        payload,
        connectTimeoutInSeconds: callTimeoutS,
        responseTimeoutInSeconds: callTimeoutS,
      })
      if (status >= 300) throw new Error(`the device answered ${status}`)
    },
  })
  await client.setOptions({ modelId: edgeModuleModelId })
  // A gateway that remembers the module gives it its inputs as soon as it connects; what nobody listened to would be passed over.
  const early: iot.Message[] = []
  let take = (message: iot.Message): void => {
    early.push(message)
  }
  client.on('inputMessage', (_input: string, message: iot.Message) => take(message))
  await client.open()
  module.start()
  // The configuration before the first new message: a gateway that starts anew filters as it should from the beginning.
  let health: HealthReporter | undefined
  const twin = await client.getTwin()
  followTwin(twin, module, log)
  health = new HealthReporter({
    diagnostics: () => module.diagnostics(),
    report: (properties) => report(twin, properties, log),
    nowMs: Date.now,
  })
  offerMethods(client, module, setLogLevel)
  for (const message of early) intake.take(message)
  take = (message) => intake.take(message)
  log('info', 'started', module.diagnostics().journal)
  // The image's health check looks at this file's age.
  const beat = () =>
    writeFile(join(settings.MODULE_DATA, 'alive'), '').catch((error: unknown) => log('warn', 'no-heartbeat', { error: errorText(error) }))
  const heart = setInterval(() => void beat(), heartbeatMs)
  heart.unref()
  await beat()
  return {
    async stop() {
      clearInterval(heart)
      health.stop()
      await module.stop()
      stopping.abort()
      await Promise.race([client.close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, closeMsMax))])
    },
  }
}

function followTwin(twin: Twin, module: EdgeModule, log: Log): void {
  const apply = () => report(twin, module.configure(twin.properties.desired), log)
  apply()
  twin.on('properties.desired', apply)
}

function report(twin: Twin, properties: Record<string, unknown>, log: Log): void {
  twin.properties.reported.update(properties, (error?: Error) => {
    if (error) log('warn', 'report-failed', { error: error.message })
  })
}

function offerMethods(client: ModuleClient, module: EdgeModule, setLogLevel: (level: LogLevel) => void): void {
  const offer = (name: string, answer: (payload: unknown) => Promise<{ status: number; body: unknown }>) =>
    client.onMethod(name, (request, response) => {
      answer(request?.payload)
        .catch((error: unknown) => ({ status: 500, body: { error: errorText(error) } }))
        .then(
          ({ status, body }) => response?.send(status, body as object, () => {}),
          () => {},
        )
    })
  offer('flush', async () => {
    const timedOut = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), flushMsMax).unref())
    const result = await Promise.race([module.flush(), timedOut])
    return result ? { status: 200, body: result } : { status: 504, body: { error: `not everything was taken within ${flushMsMax} ms` } }
  })
  offer('diagnostics', async () => ({ status: 200, body: module.diagnostics() }))
  offer('setLogLevel', async (payload) => {
    const parsed = z.object({ level: EdgeModuleSettings.shape.LOG_LEVEL.unwrap() }).safeParse(payload)
    if (!parsed.success) return { status: 400, body: { error: z.prettifyError(parsed.error) } }
    setLogLevel(parsed.data.level)
    return { status: 200, body: parsed.data }
  })
}

function toMessage({ body, contentType, properties = {} }: OutgoingMessage): iot.Message {
  const message = new iot.Message(Buffer.from(body.buffer, body.byteOffset, body.length))
  // The typings allow JSON alone; the protocol takes any type.
  ;(message as { contentType?: string }).contentType = contentType
  for (const [name, value] of Object.entries(properties)) message.properties.add(name, value)
  return message
}
