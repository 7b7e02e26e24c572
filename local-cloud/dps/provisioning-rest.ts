/** DPS over HTTPS: the device API, and the service API for enrolments and registrations. */
import { z } from 'zod'
import { headerOf, jsonBody, page, requireEtag } from '../iot-hub/rest/request.ts'
import type { RestRequest, RestResponse } from '../iot-hub/rest/request.ts'
import { HubError } from '../iot-hub/hub-errors.ts'
import type { DocumentStore } from '../log/document-store.ts'
import { parseQuery } from '../query/select.ts'
import { QuerySyntaxError } from '../query/tokens.ts'
import { covers, isSignedBy, parseAccessToken } from '../security/shared-access.ts'
import { certificatesOf, Enrollment, EnrollmentGroup, stamped, withoutKeys } from './enrollments.ts'
import { operationView, ProvisioningError } from './provisioning-service.ts'
import type { Attested, ProvisioningService } from './provisioning-service.ts'

/** Policy of the service API. */
export const provisioningPolicy = 'provisioningserviceowner'

export class ProvisioningRestApi {
  readonly #service: ProvisioningService
  readonly #key: string
  readonly #nowMs: () => number

  constructor(service: ProvisioningService, key: string, nowMs: () => number) {
    this.#service = service
    this.#key = key
    this.#nowMs = nowMs
  }

  /** True for addresses of DPS. */
  owns(path: readonly string[]): boolean {
    return ['enrollments', 'enrollmentGroups', 'registrations'].includes(path[0] ?? '') || path[1] === 'registrations'
  }

  async handle(request: RestRequest): Promise<RestResponse> {
    try {
      if (request.path[1] === 'registrations') return await this.#device(request)
      this.#authorise(request)
      const [collection = '', id, action] = request.path
      if (collection === 'enrollments')
        return await this.#enrollments(request, this.#service.enrollments, Enrollment, 'registrationId', id, action)
      if (collection === 'enrollmentGroups')
        return await this.#enrollments(request, this.#service.groups, EnrollmentGroup, 'enrollmentGroupId', id, action)
      return await this.#registrations(request, id, action)
    } catch (error) {
      const known = asProvisioningError(error)
      if (!known) throw error
      return {
        status: known.status,
        body: { errorCode: known.errorCode, trackingId: '', message: known.message, timestampUtc: new Date().toISOString() },
      }
    }
  }

  async #device(request: RestRequest): Promise<RestResponse> {
    const [idScope, , registrationId = '', action, operationId] = request.path
    if (idScope !== this.#service.idScope) throw new ProvisioningError(404, 404201, `the id scope '${idScope}' is not known`)
    const attested: Attested = { registrationId, token: headerOf(request, 'authorization') ?? '', certificate: request.certificate }
    if (action === 'register' && request.method === 'PUT') {
      const { payload } = jsonBody(request, z.looseObject({ payload: z.unknown().optional() }))
      return {
        status: 202,
        body: { operationId: await this.#service.register(attested, payload), status: 'assigning' },
        headers: { 'retry-after': '1' },
      }
    }
    if (action === 'operations' && operationId !== undefined && request.method === 'GET')
      return { status: 200, body: operationView(operationId, this.#service.operation(attested, operationId)) }
    if (action === undefined && request.method === 'POST') {
      this.#service.authenticate(attested)
      const registration = this.#service.registrations.get(registrationId)
      if (!registration) throw new ProvisioningError(404, 404202, `'${registrationId}' is not registered`)
      return { status: 200, body: registration }
    }
    throw new ProvisioningError(404, 404000, request.url.pathname)
  }

  #authorise(request: RestRequest): void {
    const token = parseAccessToken(headerOf(request, 'authorization') ?? '')
    const host = headerOf(request, 'host') ?? ''
    const isRight =
      token?.keyName === provisioningPolicy &&
      isSignedBy(token, Buffer.from(this.#key, 'base64')) &&
      token.expiresMs > this.#nowMs() &&
      [host, host.replace(/:\d+$/, '')].some((name) => covers(token, name))
    if (isRight) return
    this.#service.refused('dps-unauthorized', `${request.method} ${request.url.pathname}`)
    throw new ProvisioningError(401, 401002, `a token of the policy '${provisioningPolicy}' is required`)
  }

  async #enrollments<Kind extends Enrollment | EnrollmentGroup>(
    request: RestRequest,
    store: DocumentStore<Kind>,
    schema: z.ZodType<Kind>,
    idName: 'registrationId' | 'enrollmentGroupId',
    id: string | undefined,
    action: string | undefined,
  ): Promise<RestResponse> {
    if (id === 'query' && request.method === 'POST')
      return this.#query(
        request,
        [...store.entries()].map(([, one]) => withoutKeys(one)),
      )
    if (id === undefined && request.method === 'POST') return this.#bulk(request, store, schema, idName)
    if (id === undefined) throw new ProvisioningError(404, 404000, request.url.pathname)
    const existing = store.get(id)
    if (request.method === 'PUT') {
      const body = jsonBody(request, schema)
      if ((body as Record<string, unknown>)[idName] !== id) throw new ProvisioningError(400, 400004, `${idName} is not that of the address`)
      const stored = await this.#put(
        store,
        id,
        body,
        headerOf(request, 'if-match') === undefined ? undefined : () => this.#requireEtag(request, existing),
      )
      return { status: 200, body: withoutKeys(stored), headers: { etag: `"${stored.etag}"` } }
    }
    if (!existing) throw new ProvisioningError(404, 404201, `there is no enrolment '${id}'`)
    if (action === 'attestationmechanism' && request.method === 'POST') return { status: 200, body: existing.attestation }
    if (request.method === 'GET') return { status: 200, body: withoutKeys(existing), headers: { etag: `"${existing.etag}"` } }
    if (request.method === 'DELETE') {
      this.#requireEtag(request, existing)
      await store.delete(id)
      return { status: 204 }
    }
    throw new ProvisioningError(405, 405000, request.method)
  }

  async #put<Kind extends Enrollment | EnrollmentGroup>(
    store: DocumentStore<Kind>,
    id: string,
    body: Kind,
    check: (() => void) | undefined,
  ): Promise<Kind> {
    check?.()
    try {
      certificatesOf(body)
    } catch (error) {
      throw new ProvisioningError(400, 400004, `a certificate of '${id}' cannot be read: ${(error as Error).message}`)
    }
    const existing = store.get(id)
    if (existing && !check && body.etag !== undefined && body.etag.replaceAll('"', '') !== existing.etag)
      throw new ProvisioningError(412, 412001, 'the ETag does not match')
    const stored = stamped(body, existing, this.#nowMs())
    await store.set(id, stored)
    return stored
  }

  #requireEtag(request: RestRequest, existing: { etag?: string | undefined } | undefined): void {
    if (!existing) throw new ProvisioningError(404, 404201, 'there is no such enrolment')
    requireEtag(request, existing.etag ?? '')
  }

  async #bulk<Kind extends Enrollment | EnrollmentGroup>(
    request: RestRequest,
    store: DocumentStore<Kind>,
    schema: z.ZodType<Kind>,
    idName: 'registrationId' | 'enrollmentGroupId',
  ): Promise<RestResponse> {
    const { mode, enrollments } = jsonBody(
      request,
      z.looseObject({ mode: z.enum(['create', 'update', 'updateIfMatchETag', 'delete']), enrollments: z.array(schema).max(10) }),
    )
    const errors: unknown[] = []
    for (const enrollment of enrollments) {
      const id = String((enrollment as Record<string, unknown>)[idName])
      const existing = store.get(id)
      const fail = (errorCode: number, errorStatus: string) => errors.push({ [idName]: id, errorCode, errorStatus })
      if (mode === 'create' && existing) fail(409202, 'it exists already')
      else if (mode !== 'create' && !existing) fail(404201, 'there is no such enrolment')
      else if (mode === 'updateIfMatchETag' && enrollment.etag !== existing?.etag) fail(412001, 'the ETag does not match')
      else if (mode === 'delete') await store.delete(id)
      else await store.set(id, stamped(enrollment, existing, this.#nowMs()))
    }
    return { status: 200, body: { isSuccessful: errors.length === 0, errors } }
  }

  async #registrations(request: RestRequest, id: string | undefined, action: string | undefined): Promise<RestResponse> {
    const { registrations } = this.#service
    if (id === undefined) throw new ProvisioningError(404, 404000, request.url.pathname)
    if (action === 'query' && request.method === 'POST')
      return this.#page(
        request,
        [...registrations.entries()].map(([, one]) => one).filter(({ enrollmentGroupId }) => enrollmentGroupId === id),
      )
    const existing = registrations.get(id)
    if (!existing) throw new ProvisioningError(404, 404202, `'${id}' is not registered`)
    if (request.method === 'GET') return { status: 200, body: existing, headers: { etag: `"${existing.etag}"` } }
    if (request.method !== 'DELETE') throw new ProvisioningError(405, 405000, request.method)
    this.#requireEtag(request, existing)
    await registrations.delete(id)
    return { status: 204 }
  }

  #query(request: RestRequest, documents: readonly Record<string, unknown>[]): RestResponse {
    const { query } = jsonBody(request, z.looseObject({ query: z.string() }))
    return this.#page(request, parseQuery(query).run(documents))
  }

  #page(request: RestRequest, rows: readonly unknown[]): RestResponse {
    const { rows: shown, headers } = page(request, rows)
    return { status: 200, body: shown, headers: { ...headers, 'x-ms-item-type': 'enrollment' } }
  }
}

function asProvisioningError(error: unknown): ProvisioningError | undefined {
  if (error instanceof ProvisioningError) return error
  if (error instanceof HubError) return new ProvisioningError(error.status, error.errorCode, error.message)
  if (error instanceof QuerySyntaxError) return new ProvisioningError(400, 400004, error.message)
  return undefined
}
