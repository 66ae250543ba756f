//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
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
	for _, member := range members {
		i := strings.TrimPrefix(member, release+"-")
		filled = append(filled, fmt.Sprintf("/var/tmp/%s-disk-%s", namespace, i))
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
		{what: "leader's disk full for 30 s", tooLong: 15, readable: true, lasts: time.Minute, expect: moved},
		{what: "disks of all members full for 30 s", tooLong: 45, readable: true, lasts: 75 * time.Second},
	} {
		f.inject = func(t *testing.T, leader string) {
			t.Helper()
			full := []string{leader}
			if f.expect == nil {
				full = append(full, others(leader)...)
			}
			free := fill(t, full...)
			time.Sleep(30 * time.Second)
			free()
			freed := time.Now()
			before := written(t)
			eventually(t, time.Minute, func(context.Context) error {
				if written(t) == before {
					return errors.New("nothing is written")
				}
				return nil
			})
			t.Logf("writes go on %.1f s after the disk was freed", time.Since(freed).Seconds())
			leads(t)
			if whole := time.Since(freed); whole > time.Minute {
				t.Errorf("all members work again %s after the disk was freed", whole)
			} else {
				t.Logf("all members work again %.1f s after the disk was freed", whole.Seconds())
			}
		}
		t.Run(f.what, func(t *testing.T) { f.run(t) })
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
