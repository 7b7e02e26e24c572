/** What an agent connects with, by its settings: asked again when the hub has refused it, so that a key can be rolled while it runs. */
import { join } from 'node:path'
import type { AgentSettings } from './agent-settings.ts'
import type { CredentialsSource } from './agents/hub-link.ts'
import { KeptAssignment } from './kept-assignment.ts'
import { ownCertificate } from './own-certificate.ts'
import type { OwnCertificate } from './own-certificate.ts'
import { provisionDevice, ProvisioningError } from './provisioning.ts'

type OwnAttestation = { readonly key: string; readonly file?: undefined } | OwnCertificate

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
  const own: (() => Promise<OwnAttestation>)[] =
    first === undefined
      ? [() => ownCertificate(join(settings.AGENT_DATA, 'identity'), registrationId)]
      : [first, ...(second === undefined ? [] : [second])].map((key) => async () => ({ key }))
  const kept = new KeptAssignment(join(settings.AGENT_DATA, 'assignment.json'), { endpoint, idScope, registrationId })
  let isFirst = true
  return async () => {
    // At first the hub it was assigned to last: the provisioning service is asked when that refuses.
    const before = isFirst ? kept.read() : undefined
    isFirst = false
    const attestationBefore = before && (await own[before.attestation]?.())
    if (before && attestationBefore) return { hubHost: before.hubHost, deviceId: before.deviceId, ca, ...attestationBefore }
    let refused: unknown
    for (const [index, attestationOf] of own.entries()) {
      const attestation = await attestationOf()
      try {
        const assignment = await provisionDevice({ endpoint, idScope }, registrationId, attestation, ca)
        kept.write({ ...assignment, attestation: index })
        return { ...assignment, ca, ...attestation }
      } catch (error) {
        if (!(error instanceof ProvisioningError) || error.retryable) throw error
        const hint = attestation.file === undefined ? '' : `; enrol '${registrationId}' with the certificate '${attestation.file}'`
        refused = new ProvisioningError(`${error.message}${hint}`, true, { cause: error })
      }
    }
    throw refused
  }
}
