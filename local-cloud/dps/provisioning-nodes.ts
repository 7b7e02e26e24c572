/** The device API of DPS over AMQP: a link to ask on and one for the answers, both at `{idScope}/registrations/{registrationId}`. */
import type { Delivery, Message } from 'rhea'
import rhea from 'rhea'
import { errorText } from '../../contract/error-text.ts'
import { failure, pathOf } from '../amqp/amqp-node.ts'
import type { AmqpFailure, AmqpNode } from '../amqp/amqp-node.ts'
import type { AmqpPeer } from '../amqp/amqp-peer.ts'
import { bodyOf, decoded, sameId, textOf } from '../amqp/message-values.ts'
import { OutgoingLink } from '../amqp/outgoing-link.ts'
import { operationView, payloadOf, ProvisioningError, retryAfterS } from './provisioning-service.ts'
import type { Attested, ProvisioningService } from './provisioning-service.ts'

const messageBytesMax = 64 * 1024
const operationType = 'iotdps-operation-type'
const operationId = 'iotdps-operation-id'
const registrationPath = /^([^/]+)\/registrations\/([^/]+)$/

export class ProvisioningNodes {
  readonly #service: ProvisioningService
  /** Where the answers of a connection go: it is one device's. */
  readonly #answers = new WeakMap<AmqpPeer, OutgoingLink>()

  constructor(service: ProvisioningService) {
    this.#service = service
  }

  /** @returns undefined when the address is none of the service's */
  find(address: string, peer: AmqpPeer): AmqpNode | undefined {
    const path = pathOf(address)
    const [, idScope, registrationId] = registrationPath.exec(path) ?? []
    if (registrationId === undefined) return undefined
    const { login } = peer.claims
    const token = login?.username === path ? login.password : ''
    const device = { registrationId, token, certificate: peer.certificate }
    return {
      openToPeer: (link) => {
        this.#answers.set(peer, new OutgoingLink(link))
        return undefined
      },
      openFromPeer: () => ({ messageBytesMax }),
      // Who it is, the service asks with every message: the official client does not get over a link that is refused.
      receive: (_, message, delivery) => this.#receive(idScope, device, decoded(message), delivery, this.#answers.get(peer)),
    }
  }

  /** Why a device may not log in by this token. */
  refuse(path: string, token: string): string | undefined {
    const [, idScope, registrationId = ''] = registrationPath.exec(path) ?? []
    try {
      this.#service.requireScope(idScope)
      this.#service.authenticate({ registrationId, token, certificate: () => undefined })
      return undefined
    } catch (error) {
      return failureOf(error).description
    }
  }

  #receive(idScope: string | undefined, device: Attested, message: Message, delivery: Delivery, answers: OutgoingLink | undefined): void {
    this.#answer(idScope, device, message).then(
      (body) => {
        delivery.accept()
        answers
          ?.answer({
            ...(message.correlation_id === undefined ? {} : { correlation_id: sameId(message.correlation_id)! }),
            application_properties: { 'retry-after': rhea.types.wrap_int(retryAfterS) },
            body: rhea.message.data_section(Buffer.from(JSON.stringify(body))),
          })
          .catch(() => {})
      },
      (error: unknown) => {
        const reason = failureOf(error)
        this.#service.refused('dps-not-registered', `${device.registrationId}: ${reason.description}`)
        delivery.reject(reason)
      },
    )
  }

  /** @throws ProvisioningError */
  async #answer(idScope: string | undefined, device: Attested, message: Message): Promise<unknown> {
    this.#service.requireScope(idScope)
    const properties: Readonly<Record<string, unknown>> = message.application_properties ?? {}
    switch (properties[operationType]) {
      case 'iotdps-register':
        return { operationId: await this.#service.register(device, payloadOf(bodyOf(message))), status: 'assigning' }
      case 'iotdps-get-operationstatus': {
        const id = textOf(properties[operationId]) ?? ''
        return operationView(id, this.#service.operation(device, id))
      }
      default:
        throw new ProvisioningError(400, 400000, `the operation '${textOf(properties[operationType]) ?? ''}' is not known`)
    }
  }
}

function failureOf(error: unknown): AmqpFailure {
  const description = errorText(error)
  const status = error instanceof ProvisioningError ? error.status : 500
  if (status === 401 || status === 403) return failure.unauthorized(description)
  if (status === 404) return { condition: 'amqp:not-found', description }
  return { condition: status < 500 ? 'amqp:invalid-field' : 'amqp:internal-error', description }
}
