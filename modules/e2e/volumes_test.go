//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// disk is where the node has the small disk of a number.
func disk(number int) string { return fmt.Sprintf("/var/tmp/%s-disk-%d", namespace, number) }

// smallDisks gives the members' claims small disks that really run full, and a class of their own. It returns the chart's values.
func smallDisks(t *testing.T) object {
	t.Helper()
	needsNode(t)
	removeDisks(t.Context())
	t.Cleanup(func() { removeDisks(context.Background()) })
	objects := []object{{
		"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": object{"name": namespace}, "allowVolumeExpansion": true,
		"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
	}}
	for i := range instances {
		made := fmt.Sprintf("truncate -s 512M %[1]s.img && mkfs.ext4 -q -m 0 %[1]s.img && mkdir %[1]s && mount -o loop %[1]s.img %[1]s", disk(i))
		if err := onNode(t.Context(), made); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object{
			"apiVersion": "v1", "kind": "PersistentVolume", "metadata": object{"name": fmt.Sprintf("%s-%d", namespace, i)},
			"spec": object{
				"capacity": object{"storage": "512Mi"}, "accessModes": []string{"ReadWriteOnce"}, "storageClassName": namespace,
				"persistentVolumeReclaimPolicy": "Retain", "local": object{"path": disk(i)},
				// The member of a number gets the disk of that number.
				"claimRef": object{"namespace": namespace, "name": fmt.Sprintf("data-%s-%d", release, i)},
				"nodeAffinity": object{"required": object{"nodeSelectorTerms": []object{{
					"matchExpressions": []object{{"key": "kubernetes.io/hostname", "operator": "Exists"}},
				}}}},
			},
		})
	}
	apply(t, objects...)
	with := values(t)
	with["storage"] = object{"size": "512Mi", "storageClass": namespace}
	with["postgresql"].(object)["parameters"].(object)["max_wal_size"] = "96MB"
	return with
}

// removeDisks removes the disks, and first who uses them.
func removeDisks(ctx context.Context) {
	_, _ = kubectl(ctx, "delete", "pods", "--all", "--force")
	_, _ = kubectl(ctx, "delete", "namespace", namespace, "--ignore-not-found", "--timeout=90s")
	_, _ = kubectl(ctx, "delete", "storageclass", namespace, "--ignore-not-found")
	for i := range instances {
		_, _ = kubectl(ctx, "delete", "persistentvolume", fmt.Sprintf("%s-%d", namespace, i), "--ignore-not-found", "--timeout=30s")
		_ = onNode(ctx, fmt.Sprintf("umount -l %[1]s 2>/dev/null; rm -rf %[1]s %[1]s.img", disk(i)))
	}
}

// fill leaves nothing free on the disks of these members, at once, until what it returns is called.
func fill(t *testing.T, members ...string) (free func()) {
	t.Helper()
	var filled []string
	for i := range instances {
		if slices.Contains(members, fmt.Sprintf("%s-%d", release, i)) {
			filled = append(filled, disk(i))
		}
	}
	on := func(ctx context.Context, command string) error {
		var all []string
		for _, path := range filled {
			all = append(all, fmt.Sprintf(command, path))
		}
		return onNode(ctx, strings.Join(all, " && "))
	}
	if err := on(t.Context(), "fallocate -l $(df --output=avail -B1 %[1]s | tail -n 1) %[1]s/filler; dd if=/dev/zero bs=4k of=%[1]s/rest; true"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := on(context.Background(), "rm %[1]s/filler %[1]s/rest"); err != nil {
			t.Error(err)
		}
	}
}

// TestDiskFull fills the leader's disk, so that another leads, and then those of all members, so that nobody can write.
func TestDiskFull(t *testing.T) {
	installOnce(t, smallDisks(t))
	for _, f := range []fault{
		{what: "leader's disk full for 30 s", tooLong: 15, lasts: time.Minute, expect: moved, inject: full(fillLeader)},
		{what: "disks of all members full for 30 s", tooLong: 45, lasts: 75 * time.Second, inject: full(fillAll)},
		{what: "disks of all members full of a table, dropped after 30 s", tooLong: 75, lasts: 90 * time.Second, inject: full(writeFull)},
	} {
		f.readable = true
		t.Run(f.what, func(t *testing.T) { f.run(t) })
	}
}

func fillLeader(t *testing.T, leader string) (free func()) {
	t.Helper()
	return fill(t, leader)
}

func fillAll(t *testing.T, leader string) (free func()) {
	t.Helper()
	return fill(t, append(others(leader), leader)...)
}

// writeFull has one transaction fill the disks. What it returns makes room as the guide says.
func writeFull(t *testing.T, leader string) (free func()) {
	t.Helper()
	mustAsk(t, leader, database, "CREATE TABLE public.bulk (filler text)")
	// With pauses: readers are to have some of the disk's time.
	const insertSQL = `DO $$ BEGIN
		FOR i IN 1..250 LOOP
			INSERT INTO public.bulk SELECT repeat(md5(n::text), 30) FROM generate_series(1, 4000) n;
			PERFORM pg_sleep(0.2);
		END LOOP;
	END $$`
	if got, err := ask(t.Context(), leader, database, insertSQL); err == nil {
		t.Errorf("the disk is too large for the test: %s", got)
	}
	return func() {
		now, err := holder(context.Background())
		if err == nil {
			_, err = ask(context.Background(), now, database, "SET default_transaction_read_only = off", "DROP TABLE public.bulk")
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// full fills disks for 30 seconds, and judges how long it takes after they were freed until all is as before.
func full(fill func(t *testing.T, leader string) (free func())) func(*testing.T, string) {
	return func(t *testing.T, leader string) {
		t.Helper()
		free := fill(t, leader)
		time.Sleep(30 * time.Second)
		before := written(t)
		free()
		freed := time.Now()
		eventually(t, time.Minute, func(context.Context) error {
			if written(t) == before {
				return errors.New("nothing is written")
			}
			return nil
		})
		t.Logf("writes go on %.1f s after the disk was freed", time.Since(freed).Seconds())
		leads(t)
		whole := time.Since(freed)
		t.Logf("all members work again %.1f s after the disk was freed", whole.Seconds())
		if whole > time.Minute {
			t.Error("that is too long")
		}
	}
}

// written is how many rows a member sees that answers.
func written(t *testing.T) (rows string) {
	t.Helper()
	eventually(t, time.Minute, func(ctx context.Context) error {
		now, err := holder(ctx)
		if err == nil {
			rows, err = ask(ctx, now, database, "SELECT count(*) FROM public.ledger")
		}
		return err
	})
	return rows
}

// TestGrowth: with more in use than the threshold a claim grows by one step after the other, up to the maximum, and then by the values.
// Nobody expands these volumes, so that the test says when one has grown.
func TestGrowth(t *testing.T) {
	with := smallDisks(t)
	storage := with["storage"].(object)
	storage["growth"] = object{"maximum": "700Mi", "threshold": 50, "step": "20%"}
	installOnce(t, with)
	const name = "data-" + release + "-1"
	asks := func(claim string) string {
		return mustKubectl(t, "get", "persistentvolumeclaim", claim, "--output=jsonpath={.spec.resources.requests.storage}")
	}
	grows := func(what, want string, within time.Duration) {
		t.Helper()
		eventually(t, within, func(context.Context) error {
			if got := asks(name); got != want {
				return fmt.Errorf("%s: the claim asks for %s, not for %s", what, got, want)
			}
			return nil
		})
		// Longer than the member waits before it looks again.
		time.Sleep(15 * time.Second)
		if got := asks(name); got != want {
			t.Errorf("%s: the claim asks for %s, although nobody gave it %s yet", what, got, want)
		}
	}
	expanded := func(size string) {
		t.Helper()
		mustKubectl(t, "patch", "persistentvolumeclaim", name, "--subresource=status", "--type=merge",
			"--patch", `{"status":{"capacity":{"storage":"`+size+`"}}}`)
	}
	if err := onNode(t.Context(), "fallocate -l 200M "+disk(1)+"/filler"); err != nil {
		t.Fatal(err)
	}
	grows("more than the threshold is used", "614Mi", 20*time.Second)
	expanded("614Mi")
	grows("the step was not enough", "700Mi", 20*time.Second)
	expanded("700Mi")
	grows("it has its maximum", "700Mi", 20*time.Second)
	if got := asks("data-" + release + "-0"); got != "512Mi" {
		t.Errorf("a member that has room asks for %s", got)
	}

	upgrade := func(size string) {
		t.Helper()
		storage["size"] = size
		helm(t, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, with), "--wait", "--timeout=3m")
	}
	upgrade("800Mi") // The ConfigMap takes a while to reach the pod.
	grows("another size is given", "800Mi", 3*time.Minute)
	expanded("800Mi")
	upgrade("512Mi")
	grows("volumes do not shrink", "800Mi", time.Second)
	mustKubectl(t, "patch", "storageclass", namespace, "--type=merge", "--patch", `{"allowVolumeExpansion":false}`)
	upgrade("900Mi")
	eventually(t, 3*time.Minute, func(ctx context.Context) error {
		const words = "cannot grow to 900Mi: "
		output, err := kubectl(ctx, "logs", release+"-1", "--container=volumes")
		if err == nil && !strings.Contains(output, words) {
			err = fmt.Errorf("the member does not say %q:\n%s", words, output)
		}
		return err
	})
}
