/** Which HTTP function answers: the order of ASP.NET's routing, which Azure's host uses. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FunctionMetadata } from '../../local-cloud/functions-host/core-api.ts'
import { HttpRoutes } from '../../local-cloud/functions-host/http-routes.ts'

const functionAt = (route: string, methods = ['get']): FunctionMetadata => ({
  name: `${methods.join()} ${route}`,
  bindings: { request: { type: 'httpTrigger', direction: 'in', authLevel: 'anonymous', route, methods } },
})
// The order of declaration must not matter: what takes most is declared first.
const routes = new HttpRoutes(
  [
    functionAt('v1/{*rest}', ['get', 'post']),
    functionAt('v1/things/{id}'),
    functionAt('v1/things/{id:int}'),
    functionAt('v1/things/{id}/parts/{part}'),
    functionAt('v1/things/{id}/parts/all'),
    functionAt('v1/things/newest'),
    functionAt('v1/reports/{year?}'),
  ],
  'api',
  {
    isAuthorised: () => true,
    httpUri: undefined,
    invoke: async (name, { inputData }) => {
      const { nullableParams } = inputData[0]!.data.http!
      const params = Object.entries(nullableParams ?? {}).map(([key, { value }]) => `${key}=${value}`)
      return { returnValue: { http: { statusCode: '200', body: { string: [name, ...params].join(' ') } } } }
    },
  },
)
const server = http.createServer((request, response) => void routes.handle(request, response))
beforeAll(() => new Promise<void>((done) => server.listen(0, '127.0.0.1', done)))
afterAll(() => new Promise((done) => server.close(done)))

test.each([
  ['GET', 'v1/things/newest', 'get v1/things/newest'],
  ['GET', 'v1/things/7', 'get v1/things/{id:int} id=7'],
  ['GET', 'v1/things/seven', 'get v1/things/{id} id=seven'],
  ['GET', 'v1/things/7/parts/all', 'get v1/things/{id}/parts/all id=7'],
  ['GET', 'v1/things/7/parts/a%2Fb', 'get v1/things/{id}/parts/{part} id=7 part=a/b'],
  ['GET', 'v1/reports', 'get v1/reports/{year?}'],
  ['GET', 'v1/reports/2026', 'get v1/reports/{year?} year=2026'],
  ['GET', 'v1/elsewhere/and/further', 'get,post v1/{*rest} rest=elsewhere/and/further'],
  ['POST', 'v1/things/7', 'get,post v1/{*rest} rest=things/7'],
])('%s /api/%s is answered by %s', async (method, path, answer) => {
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/api/${path}`, { method })
  expect(await response.text()).toBe(answer)
})
