/** What an agent connects with, by its settings: asked again when the hub has refused it, so that a key can be rolled while it runs. */
import { join } from 'node:path'
import type { AgentSettings } from './agent-settings.ts'
import type { CredentialsSource } from './agents/hub-link.ts'
import { ownCertificate } from './own-certificate.ts'
import { provisionDevice, ProvisioningError } from './provisioning.ts'

export function credentialsSource(settings: AgentSettings): CredentialsSource {
  const { IOTHUB_CA_FILE: ca } = settings
  if (settings.IOTHUB_DEVICE_SECURITY_TYPE === 'connectionString') {
    const { IOTHUB_DEVICE_CONNECTION_STRING: first, IOTHUB_DEVICE_CONNECTION_STRING_SECONDARY: second } = settings
    const inTurn = [first, ...(second ? [second] : [])]
    let asked = 0
    return async () => ({ ...inTurn[asked++ % inTurn.length]!, ca })
  }
  const {
    IOTHUB_DEVICE_DPS_ENDPOINT: endpoint,
    IOTHUB_DEVICE_DPS_ID_SCOPE: idScope,
    IOTHUB_DEVICE_DPS_DEVICE_ID: registrationId,
  } = settings
  const { IOTHUB_DEVICE_DPS_DEVICE_KEY: first, IOTHUB_DEVICE_DPS_DEVICE_KEY_SECONDARY: second } = settings
  const service = { endpoint, idScope }
  if (first === undefined)
    return async () => {
      const own = await ownCertificate(join(settings.AGENT_DATA, 'identity'), registrationId)
      try {
        const assignment = await provisionDevice(service, registrationId, own, ca)
        return { ...assignment, ca, certificate: own.certificate, privateKey: own.privateKey }
      } catch (error) {
        if (!(error instanceof ProvisioningError) || error.retryable) throw error
        throw new ProvisioningError(`${error.message}; enrol '${registrationId}' with the certificate '${own.file}'`, true, {
          cause: error,
        })
      }
    }
  return async () => {
    let refused: unknown
    for (const key of [first, ...(second === undefined ? [] : [second])])
      try {
        return { ...(await provisionDevice(service, registrationId, { key }, ca)), key, ca }
      } catch (error) {
        if (!(error instanceof ProvisioningError) || error.retryable) throw error
        refused = error
      }
    throw refused
  }
}
