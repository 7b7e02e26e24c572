/** Entry of the device bundle: the agent that reads this computer, configured as the Azure samples are. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { runSdkAgent } from './agents/sdk-agent.ts'
import { parseDeviceConnectionString } from './device-credentials.ts'
import { AgentConfig } from './sensors/agent-config.ts'
import { ThisComputer } from './sensors/this-computer.ts'

const AgentSettings = z.object({
  IOTHUB_DEVICE_CONNECTION_STRING: z.string().transform((text, context) => {
    try {
      return parseDeviceConnectionString(text)
    } catch (error) {
      context.issues.push({
        code: 'custom',
        input: '(not shown: it holds a key)',
        message: error instanceof Error ? error.message : String(error),
      })
      return z.NEVER
    }
  }),
  /** File with the certificate authority of a local cloud or gateway. */
  IOTHUB_CA_FILE: z
    .string()
    .optional()
    .transform((file, context) => {
      if (file === undefined) return undefined
      try {
        return readFileSync(file, 'utf8')
      } catch (error) {
        context.issues.push({ code: 'custom', input: file, message: error instanceof Error ? error.message : String(error) })
        return z.NEVER
      }
    }),
  /** Folder for what the hub has not acknowledged yet. */
  AGENT_DATA: z.string().min(1).default('millwright-agent'),
  AGENT_BUFFER_BYTES_MAX: z.coerce.number().int().min(1_048_576).default(268_435_456),
  /** File that maps sensors to signals; without it, what is found is used. */
  AGENT_CONFIG_FILE: z
    .string()
    .optional()
    .transform((file, context): AgentConfig => {
      try {
        return AgentConfig.parse(file === undefined ? {} : JSON.parse(readFileSync(file, 'utf8')))
      } catch (error) {
        const message = error instanceof z.ZodError ? z.prettifyError(error) : String(error)
        context.issues.push({ code: 'custom', input: file, message })
        return z.NEVER
      }
    }),
  AGENT_INTERVAL_MS: z.coerce.number().int().min(100).max(3_600_000).default(2_000),
})

const log = (event: string, fields: Record<string, unknown>) =>
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), part: 'agent', event, ...fields })}\n`)

/** What is not acknowledged by then is not waited for. */
const stopMsMax = 3_000

async function main(): Promise<void> {
  const settings = AgentSettings.safeParse(process.env)
  if (!settings.success) {
    process.stderr.write(`cannot start the agent, its settings are wrong:\n${z.prettifyError(settings.error)}\n`)
    process.exit(2)
  }
  const { IOTHUB_DEVICE_CONNECTION_STRING: credentials, IOTHUB_CA_FILE: ca, AGENT_CONFIG_FILE: config } = settings.data
  const stopping = new AbortController()
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(event, () => stopping.abort())
  stopping.signal.addEventListener('abort', () => setTimeout(() => process.exit(0), stopMsMax).unref())
  const computer = new ThisComputer('/sys', config)
  const first = await computer.read(Date.now())
  log('started', { device: credentials.deviceId, signals: Object.keys(first) })
  // Started by a supervisor: it waits for this.
  process.send?.({ kind: 'ready', details: { device: credentials.deviceId } })
  const counts = await runSdkAgent({
    credentials: { ...credentials, ca },
    modelId: config.modelId,
    everyMs: settings.data.AGENT_INTERVAL_MS,
    directory: settings.data.AGENT_DATA,
    bufferBytesMax: settings.data.AGENT_BUFFER_BYTES_MAX,
    bootId: randomUUID().slice(0, 8),
    read: (nowMs) => computer.read(nowMs),
    signal: stopping.signal,
    onError: (error) => log('error', { error: error.message }),
  })
  log('stopped', { ...counts })
  process.exit(0)
}

main().catch((error: unknown) => {
  log('failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  process.exit(1)
})
