/**
 * What stands between a hub on Azure and the app, as the resource manager knows it: the hub, the route that brings telemetry
 * to an Event Hub, that endpoint's health, and the consumer groups that the app reads by.
 */
import { z } from 'zod'
import { consumerGroups } from '../../local-cloud/local-cloud.ts'
import type { AzureEnvironment } from './azure-environment.ts'
import type { Finding } from './finding.ts'

/** Asks the resource manager. @returns undefined when there is no such resource @throws ResourceManagerError */
export type ResourceManager = (path: string, apiVersion: string) => Promise<unknown>

const Hub = z.looseObject({
  properties: z.looseObject({
    state: z.string(),
    routing: z.looseObject({
      endpoints: z.looseObject({
        eventHubs: z
          .array(z.looseObject({ name: z.string(), endpointUri: z.string().optional(), entityPath: z.string().optional() }))
          .default([]),
      }),
      routes: z
        .array(
          z.looseObject({
            name: z.string(),
            source: z.string(),
            condition: z.string().default('true'),
            endpointNames: z.array(z.string()),
            isEnabled: z.boolean(),
          }),
        )
        .default([]),
    }),
  }),
})
type Route = z.infer<typeof Hub>['properties']['routing']['routes'][number]
type Endpoint = z.infer<typeof Hub>['properties']['routing']['endpoints']['eventHubs'][number]

const Health = z.looseObject({ value: z.array(z.looseObject({ endpointId: z.string(), healthStatus: z.string() })) })
const Groups = z.looseObject({ value: z.array(z.looseObject({ name: z.string() })) })

const versions = { hub: '2023-06-30', eventHubs: '2024-01-01' } as const

export async function checkAzure(ask: ResourceManager, environment: AzureEnvironment): Promise<Finding[]> {
  const { AZURE_SUBSCRIPTION_ID: subscription, AZURE_RESOURCE_GROUP: group, IOT_HUB_NAME: hubName } = environment
  const base = `/subscriptions/${subscription}/resourceGroups/${group}/providers`
  const hubPath = `${base}/Microsoft.Devices/IotHubs/${hubName}`
  const answer = await ask(hubPath, versions.hub)
  if (answer === undefined)
    return [{ check: 'hub', ok: false, detail: `there is no hub '${hubName}' in the resource group '${group}'. Make it: azd provision` }]
  const { properties } = Hub.parse(answer)
  const isActive = properties.state === 'Active'
  const state = isActive ? `${hubName} is active` : `${hubName} is ${properties.state}. Wait until it is Active, or look into the portal`
  const { finding, endpoint } = checkRoute(hubName, properties.routing.routes, properties.routing.endpoints.eventHubs)
  const findings: Finding[] = [{ check: 'hub', ok: isActive, detail: state }, finding]
  if (!endpoint) return findings
  findings.push(await checkEndpoint(ask, hubPath, endpoint))
  const namespace = /^sb:\/\/([^.]+)\./.exec(endpoint.endpointUri ?? '')?.[1]
  // An endpoint by connection string does not say where it leads.
  if (namespace === undefined || endpoint.entityPath === undefined) return findings
  return [...findings, ...(await checkGroups(ask, `${base}/Microsoft.EventHub/namespaces/${namespace}`, namespace, endpoint.entityPath))]
}

/** Telemetry must reach an Event Hub, all of it: what a route leaves out, nobody judges. */
function checkRoute(
  hubName: string,
  routes: readonly Route[],
  endpoints: readonly Endpoint[],
): { readonly finding: Finding; readonly endpoint?: Endpoint } {
  const check = 'route'
  const leading = routes.flatMap((route) => {
    const endpoint = endpoints.find(({ name }) => route.endpointNames.includes(name))
    return route.source === 'DeviceMessages' && endpoint ? [{ route, endpoint }] : []
  })
  // The best there is says what is wrong with it.
  const best =
    leading.find(({ route }) => route.isEnabled && isTrue(route.condition)) ?? leading.find(({ route }) => route.isEnabled) ?? leading[0]
  if (!best) {
    const detail = `no route brings device messages of '${hubName}' to an Event Hub: no telemetry reaches the app. Run azd provision, or make one: az iot hub message-route create --hub-name ${hubName} --source DeviceMessages --condition true`
    return { finding: { check, ok: false, detail } }
  }
  const { endpoint } = best
  const { name, condition, isEnabled } = best.route
  const remedy = `azd provision puts it right; or: az iot hub message-route update --hub-name ${hubName} --route-name ${name}`
  const wrong = !isEnabled
    ? `'${name}' is disabled: no telemetry reaches the app. ${remedy} --enabled true`
    : isTrue(condition)
      ? undefined
      : `'${name}' takes only messages where ${condition}: the others never reach the app. ${remedy} --condition true`
  const detail = wrong ?? `'${name}' brings telemetry to '${endpoint.entityPath ?? endpoint.name}'`
  return { finding: { check, ok: wrong === undefined, detail }, endpoint }
}

const isTrue = (condition: string) => condition.trim().toLowerCase() === 'true'

async function checkEndpoint(ask: ResourceManager, hubPath: string, { name }: Endpoint): Promise<Finding> {
  const { value } = Health.parse((await ask(`${hubPath}/routingEndpointsHealth`, versions.hub)) ?? { value: [] })
  const health = value.find(({ endpointId }) => endpointId === name)?.healthStatus ?? 'unknown'
  // `unknown` is what a hub says that has not routed anything yet.
  const ok = !['unhealthy', 'dead', 'degraded'].includes(health.toLowerCase())
  const detail = ok
    ? `'${name}' is ${health}`
    : `'${name}' is ${health}: the hub cannot send there. Look at its identity's role (Event Hubs Data Sender) and the namespace's network rules`
  return { check: 'endpoint', ok, detail }
}

async function checkGroups(ask: ResourceManager, namespacePath: string, namespace: string, entity: string): Promise<Finding[]> {
  const answer = await ask(`${namespacePath}/eventhubs/${entity}/consumergroups`, versions.eventHubs)
  if (answer === undefined)
    return [{ check: 'event hub', ok: false, detail: `'${namespace}/${entity}', where the route leads, is not there. Run azd provision` }]
  const there = Groups.parse(answer).value.map(({ name }) => name.toLowerCase())
  return Object.values(consumerGroups).map((group) => {
    const ok = there.includes(group)
    const remedy = `az eventhubs eventhub consumer-group create --namespace-name ${namespace} --eventhub-name ${entity} --name ${group}`
    return { check: `group ${group}`, ok, detail: ok ? `is there, on '${entity}'` : `is missing on '${entity}'. Make it: ${remedy}` }
  })
}
