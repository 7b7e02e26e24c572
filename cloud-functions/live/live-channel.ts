/** Tells open pages at once, by Azure Web PubSub. What cannot be told is not lost: pages ask again. */
import { WebPubSubServiceClient } from '@azure/web-pubsub'
import { liveGroups, liveHub } from '../../contract/api.ts'
import type { AlertItem, LiveDevice, LiveMessage } from '../../contract/api.ts'
import { errorText } from '../../contract/error-text.ts'
import type { PubSubConnection } from '../azure-connections.ts'
import { Bursts } from './bursts.ts'

export type LiveChannel = {
  /** Never throws; a page that misses it learns by asking. In a flood ten messages a second. */
  tellAlert(alert: AlertItem): void
  /** Never throws. */
  tellDevices(devices: LiveDevice[]): void
  /** Whether anybody listens to the devices; asked seldom, so that nobody pays for telling nobody. */
  hasListeners(nowMs: number): Promise<boolean>
  /** Address for one page, good for an hour. */
  clientUrl(userId: string): Promise<string>
}

const askEveryMs = 5_000
const accessMinutes = 60
const alertsEveryMs = 100
/** A message takes a megabyte. */
const alertsAtOnce = 200

/** @param warn told once while it fails */
export function openLiveChannel(connection: PubSubConnection, warn: (text: string) => void): LiveChannel {
  const retryOptions = { maxRetries: 1, retryDelayInMs: 200 }
  const client =
    typeof connection === 'string'
      ? new WebPubSubServiceClient(connection, liveHub, { allowInsecureConnection: /Endpoint=http:/i.test(connection), retryOptions })
      : new WebPubSubServiceClient(connection.endpoint, connection.credential, liveHub, { retryOptions })
  let isFailing = false
  let known = { askedMs: 0, isThere: false }
  const worked = () => (isFailing = false)
  const failed = (error: unknown) => {
    if (!isFailing) warn(`open pages cannot be told, they will ask: ${errorText(error)}`)
    isFailing = true
  }
  const publish = (message: LiveMessage) => {
    client.group(liveGroups[message.kind]).sendToAll(message).then(worked, failed)
  }
  const alerts = new Bursts<AlertItem>({
    send: (told) => publish({ kind: 'alerts', alerts: [...told] }),
    everyMs: alertsEveryMs,
    atOnceMax: alertsAtOnce,
    later: setTimeout,
  })
  return {
    tellAlert: (alert) => alerts.add(alert),
    tellDevices: (devices) => publish({ kind: 'devices', devices }),
    async hasListeners(nowMs) {
      if (nowMs - known.askedMs < askEveryMs) return known.isThere
      known = { ...known, askedMs: nowMs }
      try {
        known = { ...known, isThere: await client.groupExists(liveGroups.devices) }
        worked()
      } catch (error) {
        known = { ...known, isThere: false }
        failed(error)
      }
      return known.isThere
    },
    async clientUrl(userId) {
      const groups = Object.values(liveGroups)
      const { url } = await client.getClientAccessToken({
        userId,
        roles: groups.map((group) => `webpubsub.joinLeaveGroup.${group}`),
        expirationTimeInMinutes: accessMinutes,
      })
      return url
    },
  }
}
