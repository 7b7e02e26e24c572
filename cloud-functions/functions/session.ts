/** Signing in and out, the live channel, and what the API says of itself: its description and its metrics. */
import { z } from 'zod'
import { LiveAccess, Role } from '../../contract/api.ts'
import { endpoint } from '../api/endpoint.ts'
import { readSignInCode, sessionCookie, signInCode, signOutCookie } from '../api/identity.ts'
import { metricsText } from '../api/metrics.ts'
import { openApi } from '../api/openapi.ts'
import { Problem } from '../api/problem.ts'
import { RawResponse } from '../api/respond.ts'
import { appLive, appSettings, appTables } from '../services.ts'
import { useLink } from '../store/link-store.ts'

endpoint({
  name: 'sign-in',
  method: 'GET',
  path: 'sign-in',
  summary: 'The sign-in link: good once, sets the session cookie',
  access: 'public',
  query: z.object({ code: z.string().max(1_000).default('') }),
  status: 303,
  handle: async ({ query }) => {
    const { OPERATOR_TOKEN: token, PLATFORM_SIGN_IN } = appSettings()
    if (PLATFORM_SIGN_IN !== 'none') throw new Problem(404, 'Not here', 'the platform signs people in')
    const nowMs = Date.now()
    const link = readSignInCode(token, query.code, nowMs)
    if (!(await useLink(await appTables(), link.nonce, link.untilMs)))
      throw new Problem(401, 'Not signed in', 'the sign-in link was used before; `npx millwright sign-in` makes a new one')
    return new RawResponse({ status: 303, headers: { location: '/', 'set-cookie': sessionCookie(token, link, nowMs) } })
  },
})

endpoint({
  name: 'new-sign-in-link',
  method: 'POST',
  path: 'sign-in-links',
  summary: 'A sign-in link for somebody else',
  access: 'engineer',
  body: z.object({ name: z.string().trim().min(1).max(64), role: Role }),
  response: z.object({ url: z.string() }),
  handle: async ({ body }) => {
    const { OPERATOR_TOKEN, PUBLIC_URL } = appSettings()
    return { url: `${PUBLIC_URL}/api/v1/sign-in?code=${signInCode(OPERATOR_TOKEN, Date.now(), body)}` }
  },
})

endpoint({
  name: 'sign-out',
  method: 'POST',
  path: 'sign-out',
  summary: 'End the session of this browser',
  access: 'public',
  status: 204,
  handle: async () => new RawResponse({ status: 204, headers: { 'set-cookie': signOutCookie } }),
})

endpoint({
  name: 'live',
  method: 'GET',
  path: 'live',
  summary: 'Address of the live channel for one page; null where pages poll',
  access: 'viewer',
  response: LiveAccess,
  handle: async ({ who }) => ({ url: (await appLive()?.clientUrl(who?.name ?? 'viewer')) ?? null }),
})

endpoint({
  name: 'openapi',
  method: 'GET',
  path: 'openapi.json',
  summary: 'This description',
  access: 'public',
  response: z.looseObject({ openapi: z.string() }),
  handle: async () => openApi(),
})

endpoint({
  name: 'metrics',
  method: 'GET',
  path: 'metrics',
  summary: 'The same figures for Prometheus',
  access: 'viewer',
  types: ['text/plain'],
  handle: async () => {
    const { text, contentType } = await metricsText(await appTables(), Date.now())
    return new RawResponse({ body: text, headers: { 'content-type': contentType } })
  },
})
