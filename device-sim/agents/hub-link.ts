/**
 * An agent's connection to its hub by the official device SDK. When the hub refuses the credentials (a key was rolled, or
 * the device was assigned to another hub), others are asked for, and the connection is made anew.
 */
import iot from 'azure-iot-device'
import iotMqtt from 'azure-iot-device-mqtt'
import type { AgentCredentials } from '../device-credentials.ts'
import { formatDeviceConnectionString } from '../device-credentials.ts'
import { AgentTwin } from './agent-twin.ts'
import type { AgentTwinOptions } from './agent-twin.ts'

/** Where credentials come from: asked at the start, and whenever the hub has refused the last. */
export type CredentialsSource = () => Promise<AgentCredentials>

/** Closing a client that never connected waits for its retries. */
const closeMsMax = 1_000

export class HubLink {
  readonly twin: AgentTwin
  readonly #source: CredentialsSource
  readonly #modelId: string
  readonly #onError: (error: Error) => void
  #client: iot.Client | undefined
  #deviceId = ''

  constructor(source: CredentialsSource, modelId: string, options: AgentTwinOptions) {
    this.twin = new AgentTwin(options)
    this.#source = source
    this.#modelId = modelId
    this.#onError = options.onError
  }

  /** Resolves when the hub has it. @throws what the SDK throws, after its own retries; then trying again is right */
  async send(messageOf: (deviceId: string) => iot.Message): Promise<void> {
    this.#client ??= await this.#connect()
    try {
      await this.#client.sendEvent(messageOf(this.#deviceId))
    } catch (error) {
      // Names of the SDK's errors: its classes differ between its packages.
      if (['UnauthorizedError', 'DeviceNotFoundError'].includes((error as Error).name)) await this.close()
      throw error
    }
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    if (client) await Promise.race([client.close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, closeMsMax))])
  }

  async #connect(): Promise<iot.Client> {
    const credentials = await this.#source()
    this.#deviceId = credentials.deviceId
    const client = iot.Client.fromConnectionString(formatDeviceConnectionString(credentials), iotMqtt.Mqtt)
    const { ca } = credentials
    await client.setOptions({
      modelId: this.#modelId,
      ...(ca === undefined ? {} : { ca }),
      ...('certificate' in credentials ? { cert: credentials.certificate, key: credentials.privateKey } : {}),
    })
    client.on('error', this.#onError)
    this.twin.follow(client)
    return client
  }
}
